//! Which file systems tell the kernel of every change.

use std::path::Path;

/// File systems that others change without this machine's kernel, by their magic numbers (`statfs(2)`).
const CHANGED_ELSEWHERE: [(u64, &str); 17] = [
    (0x6969, "nfs"),
    (0xFE53_4D42, "smb2"),
    (0xFF53_4D42, "cifs"),
    (0x517B, "smb"),
    (0x564C, "ncp"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "ceph"),
    (0x0BD0_0BD0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x5346_414F, "afs"),
    (0x7375_7245, "coda"),
    (0x786F_4256, "vboxsf"),
    (0xBACB_ACBC, "vmhgfs"),
    (0x0116_1970, "gfs2"),
    (0x9FA0, "proc"),
    (0x6265_6572, "sysfs"),
];

/// Returns why changes of a directory are not all reported, if they are not.
pub(super) fn why_unreported(dir: &Path) -> Option<String> {
    let stat = match rustix::fs::statfs(dir) {
        Ok(stat) => stat,
        // Gone again, or not ours to see: the watch will say which.
        Err(_) => return None,
    };
    // The type is signed or not, and of another width, from machine to machine; the numbers have 32 bits.
    let magic = (stat.f_type as u64) & 0xFFFF_FFFF;
    let (_, name) = CHANGED_ELSEWHERE.iter().find(|(number, _)| *number == magic)?;
    Some(format!("a file system of type `{name}` does not report every change"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_others_change_is_known() {
        assert!(why_unreported(Path::new("/proc")).is_some_and(|why| why.contains("`proc`")));
        assert_eq!(why_unreported(&std::env::temp_dir()), None);
    }
}
