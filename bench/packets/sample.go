package packets

import (
	"fmt"
	"runtime"
	"time"
)

// offset is where wireguard-go wants packets in its buffers, so that its own
// header fits in front (device.MessageTransportHeaderSize).
const offset = 16

// bufferSize is the length in bytes of wireguard-go's buffers.
const bufferSize = 65535

// sample is what one run of a candidate costs, per packet.
type sample struct {
	wall   float64 // ns
	cpu    float64 // ns, of all goroutines of the process; 0: not known
	allocs float64
}

// run drives one candidate.
type run struct {
	rig     *rig
	op      func() (int, error) // moves one batch; returns how many packets passed
	bufs    [][]byte            // as long as the packets in them, for Write
	whole   [][]byte            // the same, in full length
	sizes   []int
	packets [][]byte // of the peer
	next    int
	calls   int // that take about the time wanted
}

// buffers returns n buffers as wireguard-go allocates them: each for itself.
func buffers(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, bufferSize)
	}
	return bufs
}

// newRun prepares the candidate for measuring. The run does not own bufs,
// which runs take turns in, so that all meet the same memory.
func newRun(rig *rig, c Case, bufs [][]byte, packets [][]byte) *run {
	r := &run{
		rig: rig, whole: bufs, bufs: make([][]byte, len(bufs)),
		sizes: make([]int, len(bufs)), packets: packets, calls: 1,
	}
	r.op = r.write
	if c.Op == "Read" {
		r.op = r.read
		copy(r.bufs, r.whole)
	}
	return r
}

// write hands over the next batch of the peer's packets.
func (r *run) write() (int, error) {
	for i, b := range r.whole {
		p := r.packets[r.next]
		if r.next++; r.next == len(r.packets) {
			r.next = 0
		}
		r.bufs[i] = b[:offset+len(p)]
		copy(b[offset:], p[:headerBytes])
	}
	taken := r.rig.dev.Taken()
	_, err := r.rig.Write(r.bufs, offset)
	return r.rig.dev.Taken() - taken, err
}

// read takes the next batch of the host's packets. A size of 0 is a packet
// that was dropped.
func (r *run) read() (int, error) {
	n, err := r.rig.Read(r.bufs, r.sizes, offset)
	passed := 0
	for _, size := range r.sizes[:n] {
		if size > 0 {
			passed++
		}
	}
	return passed, err
}

// measure moves batches for about so long, after every packet has passed once,
// which opens all flows.
func (r *run) measure(about time.Duration) (sample, error) {
	if _, _, err := r.timed(len(r.packets)/len(r.whole) + 2); err != nil {
		return sample{}, err
	}
	for {
		s, took, err := r.timed(r.calls)
		if err != nil || took >= about*3/4 {
			return s, err
		}
		grow := 1.1 * float64(about) / float64(max(took, time.Microsecond))
		r.calls = int(float64(r.calls)*min(grow, 100)) + 1
	}
}

// timed makes so many calls and returns their cost per packet and the time
// that they took. It is an error if a packet does not pass.
func (r *run) timed(calls int) (sample, time.Duration, error) {
	var before, after runtime.MemStats
	passed := 0
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	for range calls {
		n, err := r.op()
		if err != nil {
			return sample{}, 0, err
		}
		passed += n
	}
	took := time.Since(start)
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	if want := calls * len(r.whole); passed != want {
		return sample{}, 0, fmt.Errorf("only %d of %d packets passed", passed, want)
	}
	n := float64(passed)
	return sample{
		wall:   float64(took) / n,
		cpu:    float64(cpu) / n,
		allocs: float64(after.Mallocs-before.Mallocs) / n,
	}, took, nil
}
