//! Everything in one process: publish, subscribe, read a file, change it, read it again, and ask why.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use undercurrent::stream::Delivery;
use undercurrent::{Config, Event, EventStream, Key, Level};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (root, data) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let plan = root.path().canonicalize()?.join("plan.txt");
    std::fs::write(&plan, "first")?;
    let config =
        Config { roots: vec![root.path().into()], data: Some(data.path().into()), ..Config::default() };
    let stream = EventStream::open(config).await?;

    let event = Event::new("message.user".parse()?, "user/ada".parse()?).with_json("tidy the plan")?;
    let ack = stream.publish("sessions/42", event).await?;
    println!("published at {}, {}", ack.cursor, ack.durability);
    let mut history = stream.subscribe("sessions/42").from_beginning().await?;
    while let Delivery::Event(record) = history.next().await? {
        println!("read a {} from {}", record.type_text(), record.source_text());
    }

    let key = Key::file(&plan)?;
    let before = stream.get_app_context(&key).level(Level::Synced).await?;
    std::fs::write(&plan, "second")?;
    let after = stream.get_app_context(&key).level(Level::Synced).await?;
    anyhow::ensure!((before.text(), after.text()) == (Some("first"), Some("second")));
    println!("{key} was {:?} and is {:?}: {}", before.text(), after.text(), after.why());
    for stale in stream.explain(&key).await?.invalidations {
        println!("  {} moved at position {}: {}", stale.name, stale.position, stale.cause);
    }
    stream.close().await;
    Ok(())
}
