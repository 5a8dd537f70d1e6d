package tunnel

import "time"

// SetLookUps has names looked up again with handshakes that are older than
// stale, at first after wait and then after twice as long each time.
func (c *Config) SetLookUps(stale, wait time.Duration) {
	c.lookUps = pace{stale: stale, first: wait, greatest: time.Hour}
}
