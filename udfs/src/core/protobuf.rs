//! Messages of Protocol Buffers, field by field, as they lie in memory:
//! <https://protobuf.dev/programming-guides/encoding/>.

/// One field of a message: its number, and its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    Number(u32, u64),
    Bytes(u32, &'a [u8]),
    /// Of a kind that nobody asks for.
    Other,
}

/// The fields of a message, up to its end or to what is none.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let key = varint(&mut rest)?;
        let number = u32::try_from(key >> 3).ok()?;
        match key & 7 {
            0 => Some(Field::Number(number, varint(&mut rest)?)),
            1 => take(&mut rest, 8).map(|_| Field::Other),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Some(Field::Bytes(number, take(&mut rest, length)?))
            }
            5 => take(&mut rest, 4).map(|_| Field::Other),
            // begin and end of a group; what is in it is told as if it stood outside
            3 | 4 => Some(Field::Other),
            _ => None,
        }
    })
}

/// The numbers of a packed list.
pub fn numbers(mut packed: &[u8]) -> impl Iterator<Item = u64> + '_ {
    std::iter::from_fn(move || varint(&mut packed))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest, 1)? else { return None };
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_kind() {
        let message = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x28, 0];
        let found: Vec<Field> = fields(&message).collect();
        let expected = [Field::Number(1, 150), Field::Bytes(2, b"hi"), Field::Other, Field::Other, Field::Number(5, 0)];
        assert_eq!(found, expected);
        assert_eq!(numbers(&[1, 0x96, 0x01, 0xff]).collect::<Vec<_>>(), [1, 150]);
        let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(numbers(&minus_one).map(|number| number as i64).collect::<Vec<_>>(), [-1]);
    }

    #[test]
    fn what_is_cut_or_no_message_ends() {
        for message in [&[0x12, 200, 1][..], &[0x80; 20], &[0x0e], &[0x08], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            assert_eq!(fields(message).count(), 0);
        }
    }
}
