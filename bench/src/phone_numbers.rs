//! A sequence of phone numbers: the n-th is always the same, no two are equal, and successive ones are far apart.

/// Prefixes of the two large carriers.
pub const PREFIXES: [u64; 10] = [984, 980, 985, 981, 986, 982, 974, 970, 975, 976];
/// Numbers behind one prefix.
const BLOCK: u64 = 10_000_000;
/// Neither even nor a multiple of five, so that multiplying by it permutes a block.
const STRIDE: u64 = 6_180_343;

/// How many there are.
pub const COUNT: u64 = PREFIXES.len() as u64 * BLOCK;

/// The ten national digits of the `n`-th number.
#[must_use]
pub fn nth(n: u64) -> u64 {
    let n = n % COUNT;
    let count = PREFIXES.len() as u64;
    // In bounds: a remainder.
    let prefix = PREFIXES[usize::try_from(n % count).unwrap_or(0)];
    prefix * BLOCK + (n / count) * STRIDE % BLOCK
}

/// The same as an SQL expression over the expression `n`, with the country's code, as in the tables.
#[must_use]
pub fn nth_sql(n: &str) -> String {
    let prefixes = PREFIXES.map(|prefix| prefix.to_string()).join(",");
    let count = PREFIXES.len();
    format!(
        "(9770000000000 + (ARRAY[{prefixes}])[({n}) % {count} + 1]::bigint * {BLOCK} \
         + (({n}) / {count})::bigint * {STRIDE} % {BLOCK})"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_are_ten_digits_of_known_carriers_and_none_comes_twice() {
        let drawn: HashSet<u64> = (0..200_000).map(nth).collect();
        assert_eq!(drawn.len(), 200_000);
        for number in drawn {
            let text = number.to_string();
            assert_eq!(text.len(), 10);
            assert!(text.starts_with('9') && matches!(text.as_bytes()[1], b'7' | b'8'), "{text}");
        }
    }

    #[test]
    fn a_whole_block_is_used() {
        let count = PREFIXES.len() as u64;
        let block: HashSet<u64> = (0..BLOCK).step_by(1_000).map(|n| nth(n * count)).collect();
        assert_eq!(block.len(), 10_000);
        assert_eq!(nth(COUNT), nth(0));
    }
}
