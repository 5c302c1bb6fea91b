//! Small disks that fill up.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests share it, and each uses a part"
)]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Set where the test runs once more, as root of a user namespace of its own.
const OWN_MOUNTS: &str = "ANNONA_OWN_MOUNTS";

/// A disk of a test's own, in memory. Unmounted with it.
pub struct Disk(PathBuf);

/// Runs `body` on a new disk of so many KiB at `at`. A user who may not mount runs the whole test, by its name, once more in a user
/// namespace; where there are none the test fails.
pub fn with_disk(test: &str, at: &Path, kibibytes: u32, body: impl FnOnce(&Disk)) {
    std::fs::create_dir_all(at).unwrap();
    match Disk::mount(at, kibibytes) {
        Ok(disk) => body(&disk),
        Err(error) => {
            assert!(env::var_os(OWN_MOUNTS).is_none(), "no disk can be mounted: {error}");
            let mut again = Command::new("unshare");
            again.args(["--user", "--map-root-user", "--mount"]).arg(env::current_exe().unwrap());
            let done = again.args(["--exact", test, "--nocapture"]).env(OWN_MOUNTS, "1").output().unwrap();
            let said = [done.stdout, done.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(done.status.success(), "needs root or user namespaces (unshare): {error}\n{said}");
            assert!(said.contains("1 passed"), "there is no test {test}: {said}");
        }
    }
}

impl Disk {
    fn mount(at: &Path, kibibytes: u32) -> Result<Self, String> {
        let size = format!("size={kibibytes}k,mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "annona-test"]).arg(at).output();
        match mounted {
            Ok(done) if done.status.success() => Ok(Self(at.to_owned())),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn resize(&self, kibibytes: u32) {
        let options = format!("remount,size={kibibytes}k");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }

    /// Fills it until nothing more goes in, or makes room again.
    pub fn fill(&self, full: bool) {
        let ballast = self.0.join("ballast");
        if full {
            assert!(std::fs::write(&ballast, vec![1; 64 << 20]).is_err());
        } else {
            std::fs::remove_file(&ballast).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
