//! The words that hold the leaves of a tree: of 8 bits beside ranks of a byte, of 16 beside ranks of two.

/// Rows that are scored together: so many that their leaves stay in registers through all the tests of a tree.
pub const ROWS: usize = 128;

/// Ranks are kept as signed numbers: that is what vector units compare.
pub trait Word: Copy + Default + 'static {
    type Rank: Copy + Default + Ord + 'static;
    /// Leaves in a word.
    const LEAVES: usize;
    /// How many splits a feature may have.
    const MOST_SPLITS: usize;
    const ALL: Self;
    /// The rank that no test fails, and the rank that every test fails: of missing values.
    const LOWEST: Self::Rank;
    const HIGHEST: Self::Rank;

    /// `rank` ≤ `MOST_SPLITS`.
    fn rank(rank: usize) -> Self::Rank;
    /// The leaves `from..to`, of those in a word.
    fn leaves(from: usize, to: usize) -> Self;
    fn without(self, leaves: Self) -> Self;
    /// Clear `cleared` in the rows whose rank is above `split`.
    fn mask(alive: &mut [Self; ROWS], ranks: &[Self::Rank; ROWS], split: Self::Rank, cleared: Self);
    /// Where a row of `alive` has a leaf left in this word, record the word and its index.
    fn overwrite(first: &mut [Self; ROWS], number: &mut [Self; ROWS], alive: &[Self; ROWS], word: usize);
    /// The leaf of each row: the first in its word.
    fn find(first: &[Self; ROWS], number: &[Self; ROWS], leaf: &mut [u16; ROWS]);
}

macro_rules! word {
    ($word:ty, $rank:ty, $wide:ty) => {
        impl Word for $word {
            type Rank = $rank;
            const LEAVES: usize = <$word>::BITS as usize;
            const MOST_SPLITS: usize = <$word>::MAX as usize - 1;
            const ALL: Self = <$word>::MAX;
            const LOWEST: $rank = <$rank>::MIN;
            const HIGHEST: $rank = <$rank>::MAX;

            fn rank(rank: usize) -> $rank {
                (rank as $wide + <$rank>::MIN as $wide) as $rank
            }

            fn leaves(from: usize, to: usize) -> Self {
                let below = |bit: usize| ((1u32 << bit) - 1) as $word;
                below(to) & !below(from)
            }

            fn without(self, leaves: Self) -> Self {
                self & !leaves
            }

            #[inline(always)]
            fn mask(alive: &mut [Self; ROWS], ranks: &[$rank; ROWS], split: $rank, cleared: Self) {
                for row in 0..ROWS {
                    alive[row] &= !(if ranks[row] > split { cleared } else { 0 });
                }
            }

            #[inline(always)]
            fn overwrite(first: &mut [Self; ROWS], number: &mut [Self; ROWS], alive: &[Self; ROWS], word: usize) {
                for row in 0..ROWS {
                    // as masks: of conditions the compiler makes branches here
                    let here = <$word>::from(alive[row] != 0).wrapping_neg();
                    first[row] = first[row] & !here | alive[row];
                    number[row] = number[row] & !here | word as $word & here;
                }
            }

            #[inline(always)]
            fn find(first: &[Self; ROWS], number: &[Self; ROWS], leaf: &mut [u16; ROWS]) {
                for row in 0..ROWS {
                    let lowest = first[row] & first[row].wrapping_neg();
                    let mut bit: $word = 0;
                    bit |= if lowest & (0xAAAA_u16 as $word) != 0 { 1 } else { 0 };
                    bit |= if lowest & (0xCCCC_u16 as $word) != 0 { 2 } else { 0 };
                    bit |= if lowest & (0xF0F0_u16 as $word) != 0 { 4 } else { 0 };
                    bit |= if lowest & (0xFF00_u16 as $word) != 0 { 8 } else { 0 };
                    leaf[row] = u16::from(number[row]).wrapping_mul(Self::LEAVES as u16) | u16::from(bit);
                }
            }
        }
    };
}
word!(u8, i8, i16);
word!(u16, i16, i32);
