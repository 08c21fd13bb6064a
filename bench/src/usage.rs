//! Processor time and memory of a process and its children, as the kernel counts them.

use std::collections::BTreeMap;
use std::fs;

/// A process that is counted together with its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Its name in the tables. Processes of one name are counted together.
    pub name: String,
    /// Its process id.
    pub id: u32,
}

/// Seconds of processor time by name.
pub type Cpu = BTreeMap<String, f64>;
/// Bytes by name.
pub type Memory = BTreeMap<String, u64>;

/// The processor time used so far, children that have ended included.
#[must_use]
pub fn cpu(counted: &[Counted]) -> Cpu {
    let table = Table::read();
    let ticks = rustix::param::clock_ticks_per_second().max(1) as f64;
    let mut sums = Cpu::new();
    for Counted { name, id } in counted {
        let family = table.family(*id);
        let used: u64 = family.iter().filter_map(|id| table.used(*id)).sum();
        *sums.entry(name.clone()).or_default() += used as f64 / ticks;
    }
    sums
}

/// The processor time used between two readings.
#[must_use]
pub fn between(before: &Cpu, after: &Cpu) -> Cpu {
    let used = |name: &String, after: &f64| (after - before.get(name).copied().unwrap_or(0.0)).max(0.0);
    after.iter().map(|(name, seconds)| (name.clone(), used(name, seconds))).collect()
}

/// Memory in use now. Memory that a process shares with its children is counted once, where the kernel reports it.
#[must_use]
pub fn memory(counted: &[Counted]) -> Memory {
    let table = Table::read();
    let mut sums = Memory::new();
    for Counted { name, id } in counted {
        let family = table.family(*id);
        let alone = family.len() == 1;
        let bytes =
            |id: &u32| if alone { resident(*id) } else { proportional(*id).or_else(|| resident(*id)) };
        *sums.entry(name.clone()).or_default() += family.iter().filter_map(bytes).sum::<u64>();
    }
    sums
}

/// Resident memory of one process.
#[must_use]
pub fn resident(id: u32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{id}/status")).ok()?, "VmRSS:")
}

fn proportional(id: u32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?, "Pss:")
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// All processes at one moment.
#[derive(Debug, Default)]
struct Table(BTreeMap<u32, Stat>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Ticks, including those of children that were waited for.
    used: u64,
}

impl Table {
    fn read() -> Self {
        let Ok(entries) = fs::read_dir("/proc") else { return Self::default() };
        let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let stat = |id| Some((id, parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?));
        Self(ids.filter_map(stat).collect())
    }

    fn used(&self, id: u32) -> Option<u64> {
        Some(self.0.get(&id)?.used)
    }

    /// A process, its children, and theirs.
    fn family(&self, id: u32) -> Vec<u32> {
        let mut family = vec![id];
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            family.extend(self.0.iter().filter(|(_, stat)| stat.parent == parent).map(|(id, _)| *id));
            next += 1;
        }
        family
    }
}

fn parse(stat: &str) -> Option<Stat> {
    // The name in parentheses may hold anything, so the fields are counted from its end.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    // From the parent, nine fields on: user and system time, then those of children that were waited for.
    let times: Option<Vec<u64>> = fields.skip(9).take(4).map(|field| field.parse().ok()).collect();
    let times = times.filter(|times| times.len() == 4)?;
    Some(Stat { parent, used: times.iter().sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = "42 (a) (b c) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 5 6 7";
        assert_eq!(parse(line), Some(Stat { parent: 7, used: 110 }));
        assert_eq!(parse("42 (a) S 7"), None);
    }

    #[test]
    fn we_use_processor_time_and_memory() {
        let us = [Counted { name: "us".to_owned(), id: std::process::id() }];
        let before = cpu(&us);
        let mut sum = 0_u64;
        while between(&before, &cpu(&us))["us"] < 0.05 {
            sum = (0..100_000).fold(sum, |sum: u64, n| std::hint::black_box(sum.wrapping_add(n)));
        }
        assert!(memory(&us)["us"] > 500_000);
    }
}
