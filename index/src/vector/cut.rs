//! Keeps the best of many candidates, the same ones in whatever order they came.

/// A chunk with what it is judged by: lower is better.
pub(super) type Judged = (u32, u32);

/// A number that grows as the score falls, so that the best candidates come first.
pub(super) fn descending(score: f32) -> u32 {
    let bits = score.to_bits();
    // IEEE 754 numbers are ordered like their bits, negative ones the other way round.
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

/// Keeps the `keep` candidates that are judged best; equal ones by `order`. They come in no particular order.
pub(super) fn cut(candidates: &mut Vec<Judged>, keep: usize, order: impl Fn(u32) -> u64) {
    if candidates.len() <= keep {
        return;
    }
    let Some(at) = keep.checked_sub(1) else { return candidates.clear() };
    let (_, (limit, _), _) = candidates.select_nth_unstable_by_key(at, |(judged, _)| *judged);
    let limit = *limit;
    let mut ties: Vec<(u64, u32)> =
        candidates.iter().filter(|(judged, _)| *judged == limit).map(|(_, chunk)| (order(*chunk), *chunk)).collect();
    candidates.retain(|(judged, _)| *judged < limit);
    let room = keep - candidates.len();
    if ties.len() > room {
        ties.sort_unstable();
        ties.truncate(room);
    }
    candidates.extend(ties.into_iter().map(|(_, chunk)| (limit, chunk)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_sorting(judged in prop::collection::vec(0u32..20, 0..200), keep in 0usize..60) {
            let mut candidates: Vec<Judged> = judged.into_iter().zip(0..).collect();
            let order = |chunk: u32| u64::from(chunk.wrapping_mul(2_654_435_761) % 1_009);
            let mut expected = candidates.clone();
            expected.sort_by_key(|(judged, chunk)| (*judged, order(*chunk), *chunk));
            expected.truncate(keep);
            expected.sort_unstable();
            cut(&mut candidates, keep, order);
            candidates.sort_unstable();
            prop_assert_eq!(candidates, expected);
        }

        #[test]
        fn higher_scores_come_first(a in any::<f32>(), b in any::<f32>()) {
            prop_assert_eq!(descending(a).cmp(&descending(b)), b.total_cmp(&a));
        }
    }
}
