//! Many changes at once, by several hands.

use std::fs;
use std::path::{Path, PathBuf};

use super::site::Site;
use crate::dice::Dice;

impl Dice {
    /// Returns a path of one to four words out of few, so that the same ones come again and again.
    fn path(&mut self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        for _ in 0..=self.roll(4) {
            path.push(["a", "b", "c"][self.roll(3) as usize]);
        }
        path
    }

    /// Does something. What can not be done just now is not done.
    fn change(&mut self, root: &Path, outside: &Path) {
        let path = self.path(root);
        let _ = match self.roll(10) {
            0..=3 => fs::create_dir_all(&path),
            4 => fs::write(path.join("f"), "x"),
            5..=6 => fs::rename(&path, self.path(root)),
            7 => fs::rename(&path, outside.join(self.roll(3).to_string())),
            8 => fs::rename(outside.join(self.roll(3).to_string()), &path),
            _ => fs::remove_dir_all(&path),
        };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_storm_every_directory_is_watched_and_only_those_that_are_there() {
    for seed in 0..4 {
        let site = Site::new();
        let watched = site.watch().await;
        for round in 0..5 {
            let hands: Vec<_> = (0..3)
                .map(|hand| {
                    let (root, outside) = (site.root.clone(), site.outside.clone());
                    let mut dice = Dice(seed * 1000 + round * 10 + hand);
                    std::thread::spawn(move || (0..150).for_each(|_| dice.change(&root, &outside)))
                })
                .collect();
            for hand in hands {
                hand.join().unwrap();
            }
            watched.told().await;
            let there = directories(&site.root).iter().map(|dir| site.short(dir)).collect::<Vec<_>>();
            assert_eq!(watched.watched(), there, "seed {seed}, round {round}");
            for dir in directories(&site.root) {
                fs::write(Path::new(&dir).join("probe"), "x").unwrap();
            }
            let stale = watched.stale().await;
            for dir in &there {
                let name = format!("file:{dir}/probe");
                assert!(stale.contains(&name), "seed {seed}, round {round}: {name} in {stale:?}");
            }
            assert_eq!(watched.health(), ("live".into(), String::new()));
        }
    }
}

/// Returns every directory at and below one, sorted.
fn directories(top: &Path) -> Vec<String> {
    let mut dirs = vec![top.to_owned()];
    let mut next = 0;
    while next < dirs.len() {
        let entries = fs::read_dir(&dirs[next]).unwrap().map(|entry| entry.unwrap());
        dirs.extend(entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path()));
        next += 1;
    }
    let mut dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    dirs.sort();
    dirs
}
