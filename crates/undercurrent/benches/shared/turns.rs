//! Subject and peer in turns, and what is made of their times.

/// The figures of both, round by round.
#[derive(Default)]
pub(crate) struct Turns {
    ours: Vec<f64>,
    peers: Vec<f64>,
    ratios: Vec<f64>,
}

impl Turns {
    /// Adds a round of times: the ratio is ours to the peer's.
    pub(crate) fn add(&mut self, our: f64, peer: f64) {
        self.ours.push(our);
        self.peers.push(peer);
        self.ratios.push(our / peer);
    }

    /// Prints a row, with both figures told in a unit.
    pub(crate) fn print(mut self, work: &str, unit: &str, peer: &str, goal: &str) {
        let our = format!("{:.1} {unit}", percentile(&mut self.ours, 50));
        let peer = format!("{:.1} {unit}, {peer}", percentile(&mut self.peers, 50));
        let [low, middle, high] = [25, 50, 75].map(|of| percentile(&mut self.ratios, of));
        crate::row(work, &our, &peer, &format!("{middle:.2} ({low:.2} to {high:.2})"), goal);
    }
}

/// Returns the value that so many of a hundred do not exceed.
pub(crate) fn percentile(values: &mut [f64], of: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * of / 100]
}
