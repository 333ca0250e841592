//! Reproducible random values for tests, with the ends of all ranges more often than by chance.

/// Splitmix64.
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).unwrap()
    }

    /// Returns a number of any size, and often one next to a power of two.
    pub(crate) fn any_number(&mut self) -> u64 {
        let number = self.number() >> self.below(64);
        let power = 1_u64 << self.below(64);
        match self.below(8) {
            0 => power,
            1 => power - 1,
            2 => power.wrapping_add(1),
            3 => u64::MAX - number,
            _ => number,
        }
    }

    /// Returns seconds of any size, before 1970 and after.
    pub(crate) fn any_seconds(&mut self) -> i64 {
        let number = self.any_number().cast_signed();
        if self.below(2) == 0 { number } else { number.wrapping_neg() }
    }

    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.number().to_le_bytes()[0]).collect()
    }

    /// Returns a text of characters of one to four bytes.
    pub(crate) fn text(&mut self, most: usize) -> String {
        let char = |n: u64| char::from_u32(u32::try_from(n).unwrap()).unwrap_or('+');
        (0..self.below(most + 1))
            .map(|_| match self.below(4) {
                0 => char(self.number() % 0x11_0000),
                1 => char(self.number() % 0x800),
                _ => char(self.number() % 0x80),
            })
            .collect()
    }
}

/// Returns how many values a test tries: `KEYFOB_RUNS`, if it is set.
pub(crate) fn runs(default: u64) -> u64 {
    std::env::var("KEYFOB_RUNS").map_or(default, |runs| runs.parse().expect("KEYFOB_RUNS is a number"))
}
