//! Everything that a command has started, found and ended wherever it has gone.
//!
//! A process that leaves its group and session and clears its environment still has a parent. It loses that one only when
//! the parent ends, and is then handed to the nearest ancestor that has asked for orphans: see [`adopt_orphans`].

/// Environment variable by which descendants are known whose parents have ended.
pub(super) const MARK: &str = "FLATGAUGE_CHECK_ID";

/// Makes this process the parent of every orphan among its descendants (Linux), and so lets a check end all of them: for
/// programs that have no children but a command. `false` where the system has no such thing.
pub fn adopt_orphans() -> bool {
    system::adopt_orphans()
}

/// Ends `root` with its group, what descends from it, what bears the mark, and after [`adopt_orphans`] whatever descends
/// from this process. `root` itself is left for its owner to wait for.
pub(super) fn kill_all(root: Option<u32>, mark: &str) {
    system::kill_all(root, mark);
}

#[cfg(target_os = "linux")]
mod system {
    use super::MARK;
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, set_child_subreaper, waitpid};
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    static ADOPTS: AtomicBool = AtomicBool::new(false);

    /// Looks at the list of processes: one may fork while it is read, and a killed one takes its time to end.
    const MOST_LOOKS: usize = 500;
    const BETWEEN_LOOKS: Duration = Duration::from_millis(4);

    pub fn adopt_orphans() -> bool {
        let adopts = set_child_subreaper(Some(rustix::process::getpid())).is_ok();
        ADOPTS.store(adopts, Ordering::Relaxed);
        adopts
    }

    struct Process {
        id: i32,
        parent: i32,
        has_ended: bool,
    }

    /// All processes: `/proc/ID/stat` is "ID (name) state parent ...", and a name may have brackets and blanks.
    fn processes() -> Vec<Process> {
        let read = |entry: std::fs::DirEntry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read(entry.path().join("stat")).ok()?;
            let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
            let mut words = std::str::from_utf8(&stat[after_name..]).ok()?.split_whitespace();
            let has_ended = matches!(words.next()?, "Z" | "X");
            Some(Process { id, parent: words.next()?.parse().ok()?, has_ended })
        };
        std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(read).collect()
    }

    fn is_marked(id: i32, wanted: &[u8]) -> bool {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
    }

    /// Those of `all` that descend from one of `roots`, with the roots.
    fn descendants(all: &[Process], roots: impl IntoIterator<Item = i32>) -> HashSet<i32> {
        let mut found: HashSet<i32> = roots.into_iter().collect();
        loop {
            let before = found.len();
            found.extend(
                all.iter()
                    .filter(|process| found.contains(&process.parent))
                    .map(|process| process.id)
                    .collect::<Vec<_>>(),
            );
            if found.len() == before {
                return found;
            }
        }
    }

    pub fn kill_all(root: Option<u32>, mark: &str) {
        let (own, root) = (rustix::process::getpid().as_raw_nonzero().get(), root.map(|root| root as i32));
        let wanted = format!("{MARK}={mark}").into_bytes();
        for _ in 0..MOST_LOOKS {
            // What has left the tree is in the group, or the other way round; before the first of them ends.
            let all = processes();
            let roots = root.into_iter().chain(ADOPTS.load(Ordering::Relaxed).then_some(own));
            let below = descendants(&all, roots);
            if let Some(group) = root.and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let mut found = false;
            for process in all.iter().filter(|process| process.id != own) {
                let Some(id) = Pid::from_raw(process.id) else { continue };
                if process.has_ended {
                    // An adopted orphan has nobody else to wait for it.
                    if process.parent == own && Some(process.id) != root && ADOPTS.load(Ordering::Relaxed) {
                        let _ = waitpid(Some(id), WaitOptions::NOHANG);
                    }
                } else if below.contains(&process.id) || is_marked(process.id, &wanted) {
                    found |= kill_process(id, Signal::KILL).is_ok();
                }
            }
            if !found {
                return;
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub fn adopt_orphans() -> bool {
        false
    }

    pub fn kill_all(root: Option<u32>, _: &str) {
        #[cfg(unix)]
        if let Some(group) = root.and_then(|root| rustix::process::Pid::from_raw(root as i32)) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        #[cfg(not(unix))]
        let _ = root;
    }
}
