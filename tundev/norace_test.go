//go:build !race

package tundev_test

// raceEnabled tells whether the race detector is on, under which sync.Pool
// drops things at random.
const raceEnabled = false
