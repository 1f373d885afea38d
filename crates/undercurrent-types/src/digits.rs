//! Numbers as text of a fixed shape, written for every event: much cheaper than the general way of formatting.

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

/// Appends sixteen hexadecimal digits.
pub(crate) fn push_hexadecimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 16];
    for (place, digit) in digits.iter_mut().enumerate() {
        *digit = HEXADECIMAL[(number >> (60 - 4 * place) & 15) as usize];
    }
    out.extend_from_slice(&digits);
}

/// Appends the decimal digits, with zeros in front up to a width of at most 20.
pub(crate) fn push_decimal(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let (mut left, mut at) = (number, digits.len());
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(number: u64) {
        let mut out = Vec::new();
        push_hexadecimal(&mut out, number);
        push_decimal(&mut out, number, 16);
        push_decimal(&mut out, number, 1);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{number:016x}{number:016}{number}"));
    }

    #[test]
    fn the_smallest_and_the_largest_numbers_are_written() {
        let edges = [0, 1, 9, 10, u64::MAX, 9_999_999_999_999_999, 10_000_000_000_000_000];
        edges.into_iter().for_each(check);
    }

    proptest! {
        #[test]
        fn digits_are_those_of_the_general_way(number: u64, bits in 0..64u32) {
            check(number >> bits);
        }
    }
}
