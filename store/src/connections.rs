//! What the connections to the database do.

/// How many connections work, and how many wait for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// They work.
    pub busy: u32,
    /// They wait for work.
    pub idle: u32,
}

impl Connections {
    /// Those of some pools together.
    pub(crate) fn of<'a, D: sqlx::Database>(pools: impl IntoIterator<Item = &'a sqlx::Pool<D>>) -> Self {
        pools.into_iter().fold(Self { busy: 0, idle: 0 }, |sum, pool| {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            // Read one after the other, while both move.
            Self { busy: sum.busy + pool.size().saturating_sub(idle), idle: sum.idle + idle }
        })
    }
}
