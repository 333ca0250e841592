//! The buffers of a socket.

use ureq::unversioned::transport::Buffers;

use crate::secret::wipe;

/// The smallest space for a part of a request body, as in ureq.
const MIN_SPACE: usize = 10 * 1024;

/// Buffers that work as ureq's own. Those fill 32 KiB with zeros for each connection, byte by byte if ureq is optimised for size, which
/// takes 160,000 instructions. Here the allocator provides the zeros. [`Answers`](super::answers::Answers) wipes the buffers.
pub(super) struct SocketBuffers {
    input_size: usize,
    output_size: usize,
    /// The unread bytes are `input[read..filled]`. Not allocated until something is received.
    input: Vec<u8>,
    read: usize,
    filled: usize,
    /// Not allocated until something is sent.
    output: Vec<u8>,
    /// Whether ureq has used the bytes that it was last shown.
    progress: bool,
}

impl SocketBuffers {
    pub(super) fn new(input_size: usize, output_size: usize) -> Self {
        Self {
            input_size,
            output_size,
            input: Vec::new(),
            read: 0,
            filled: 0,
            output: Vec::new(),
            progress: false,
        }
    }

    /// Moves the unread bytes to the front, if there are none or if they end in the second half of the buffer.
    fn shift(&mut self) {
        if self.read == self.filled || self.filled > self.input.len() / 2 {
            self.input.copy_within(self.read..self.filled, 0);
            self.filled -= self.read;
            self.read = 0;
        }
    }
}

impl Buffers for SocketBuffers {
    fn output(&mut self) -> &mut [u8] {
        if self.output.is_empty() {
            self.output = vec![0; self.output_size];
        }
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.read..self.filled]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        if self.input.is_empty() {
            self.input = vec![0; self.input_size];
        }
        self.shift();
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.read += amount;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.output();
        let space = self.input_append_buf().len();
        if space < MIN_SPACE {
            let mut larger = vec![0; self.filled + MIN_SPACE];
            larger[..self.filled].copy_from_slice(&self.input[..self.filled]);
            wipe(&mut self.input);
            self.input = larger;
        }
        (&mut self.input[self.filled..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && self.read < self.filled
    }
}

#[cfg(test)]
mod tests {
    use ureq::unversioned::transport::LazyBuffers;

    use super::*;
    use crate::seeded::Seeded;

    #[test]
    fn buffers_work_as_those_of_ureq() {
        let mut random = Seeded::new(1);
        for round in 0..200 {
            let sizes = (1 + random.below(30_000), 1 + random.below(5000));
            let mut ours = SocketBuffers::new(sizes.0, sizes.1);
            let mut theirs = LazyBuffers::new(sizes.0, sizes.1);
            for _ in 0..200 {
                let space = ours.input_append_buf().len();
                assert_eq!(space, theirs.input_append_buf().len(), "round {round}");
                match random.below(4) {
                    0 => {
                        let bytes = random.bytes(space);
                        for buffers in [&mut ours as &mut dyn Buffers, &mut theirs] {
                            buffers.input_append_buf()[..bytes.len()].copy_from_slice(&bytes);
                            buffers.input_appended(bytes.len());
                        }
                    }
                    1 => {
                        let amount = random.below(1 + ours.input().len());
                        ours.input_consume(amount);
                        theirs.input_consume(amount);
                    }
                    2 => assert_eq!(ours.output().len(), theirs.output().len()),
                    _ if space >= MIN_SPACE => {
                        let (ours, theirs) = (ours.tmp_and_output(), theirs.tmp_and_output());
                        assert_eq!(
                            (ours.0.len(), ours.1.len()),
                            (theirs.0.len(), theirs.1.len()),
                            "round {round}"
                        );
                    }
                    _ => {}
                }
                assert_eq!(ours.input(), theirs.input(), "round {round}");
                assert_eq!(ours.can_use_input(), theirs.can_use_input(), "round {round}");
            }
        }
    }

    /// ureq's own buffers lose bytes here.
    #[test]
    fn space_for_a_body_is_made_beside_unread_bytes() {
        let mut buffers = SocketBuffers::new(4096, 100);
        buffers.input_append_buf().fill(7);
        buffers.input_appended(4096);
        let (space, output) = buffers.tmp_and_output();
        assert_eq!((space.len(), output.len()), (MIN_SPACE, 100));
        space.fill(8);
        assert_eq!(buffers.input(), [7; 4096]);
    }
}
