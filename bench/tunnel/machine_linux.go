package tunnel

import (
	"os"
	"strconv"
	"strings"
)

// machineTime is the processor time of all cores since the start, from the
// first line of /proc/stat (proc_stat(5)), in ticks.
type machineTime struct{ idle, all float64 }

func readMachine() (m machineTime) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, field := range strings.Fields(line) {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 8 { // the name, and guests, who are counted already
			continue
		}
		m.all += ticks
		if i == 4 || i == 5 { // idle, and idle with the disk busy
			m.idle += ticks
		}
	}
	return m
}

// busySince returns the share of the time since m in which cores were busy.
func (m machineTime) busySince() float64 {
	now := readMachine()
	if now.all <= m.all {
		return 0
	}
	return 1 - (now.idle-m.idle)/(now.all-m.all)
}
