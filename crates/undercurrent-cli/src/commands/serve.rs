//! `serve`: the daemon in this process, with what happens printed as it happens.

mod banner;
mod live;

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use undercurrent_server::{Config, ServeError, Server};
use undercurrent_types::{ErrorCode, path_text};

use crate::args::{Global, Serve};
use crate::daemons::{self, Daemon, Registered};
use crate::failure::Failure;
use crate::output;
use crate::settings;

pub(crate) async fn run(args: &Serve, global: &Global) -> Result<ExitCode, Failure> {
    let mut config = settings::read(args, global.namespace.as_deref())?;
    canonical_roots(&mut config)?;
    let data = config
        .engine
        .data
        .clone()
        .map_or_else(|| undercurrent::Config::default_data_dir(&config.engine.roots), Ok);
    let data = data.map_err(|error| Failure::usage(error.to_string()))?;
    let server = Server::bind(config.clone()).await.map_err(|error| Failure::from(error.body()))?;
    let shutdown = CancellationToken::new();
    end_on_signal(shutdown.clone())?;
    let daemon = Daemon {
        url: format!("http://{}", server.address()),
        instance: server.instance().to_owned(),
        namespace: config.engine.namespace.clone(),
        roots: config.engine.roots.clone(),
        data: data.clone(),
    };
    let opened = server.opened();
    let show = async {
        let stream = opened.await;
        let live = live::Live::begin(stream.observe(), global.json);
        // The file stands until the daemon ends.
        let registered = register(&daemon, stream.place());
        banner::print(&daemon, &stream, global.json);
        live.start();
        banner::print_walks(&stream, global.json).await;
        let _registered = registered;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = server.serve(shutdown) => match ended {
            Ok(()) => {
                output::note("stopped");
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Err(explain(&error, &data).await),
        },
        () = show => Ok(ExitCode::SUCCESS),
    }
}

/// Follows all links of the roots, as the engine does, so that a command finds the daemon from below them.
fn canonical_roots(config: &mut Config) -> Result<(), Failure> {
    for root in &mut config.engine.roots {
        *root = root
            .canonicalize()
            .map_err(|error| Failure::usage(format!("`{}` can not be watched: {error}", path_text(root))))?;
    }
    Ok(())
}

/// Writes where the daemon is found. One that can not be found is still reached by its address.
fn register(daemon: &Daemon, data: String) -> Option<Registered> {
    let daemon = Daemon { data: PathBuf::from(data), ..daemon.clone() };
    let registered = daemons::register(&daemons::dir()?, &daemon);
    registered
        .inspect_err(|error| {
            output::note(&format!("other commands will not find this daemon by its directory: {error}"));
        })
        .ok()
}

/// Names the daemon that has the data open, where one does.
async fn explain(error: &ServeError, data: &std::path::Path) -> Failure {
    let body = error.body();
    let code = body.code;
    let failure = Failure::from(body);
    if code != ErrorCode::Conflict {
        return failure;
    }
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let Some(dir) = daemons::dir() else { return failure };
    match daemons::holding(&dir, &data).await {
        Some(daemon) => failure.hint(format!("it is served already, at {}", daemon.url)),
        None => failure,
    }
}

/// Ends the daemon on SIGTERM, SIGINT or SIGHUP; a second one does not wait for anything.
fn end_on_signal(shutdown: CancellationToken) -> Result<(), Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::internal(format!("signals can not be handled: {error}")))
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {}
            }
            if shutdown.is_cancelled() {
                std::process::exit(1);
            }
            shutdown.cancel();
        }
    });
    Ok(())
}
