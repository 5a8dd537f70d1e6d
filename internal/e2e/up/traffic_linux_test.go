package up_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
)

// ping wants replies from an address.
func (h *host) ping(to string) {
	h.t.Helper()
	h.run("ping", "-n", "-c", "3", "-i", "0.01", "-W", "20", to)
}

// exchange has two hosts ping each other and transfer data, each way and over
// either IP version. b's addresses are 10.9.0.2 and fd09::2.
func exchange(a, b *host) {
	a.t.Helper()
	for _, to := range []string{"10.9.0.2", "fd09::2"} {
		a.ping(to)
	}
	for _, begin := range []func(a, b *host, to string, way ...string) (want func()){beginTCP, beginUDP} {
		var wants []func()
		for _, to := range []string{"10.9.0.2", "fd09::2"} {
			wants = append(wants, begin(a, b, to), begin(a, b, to, "-R"))
		}
		for _, want := range wants {
			want()
		}
	}
}

// What beginTCP transfers, in bytes.
const tcpSize = 8 << 20

// beginTCP begins to transfer bytes from a to b, or with -R from b to a. What
// it returns waits for the end, and wants it to be good. iperf3's receiver stops
// to count when the sender has sent all, so that what is under way is missing.
func beginTCP(a, b *host, to string, way ...string) (want func()) {
	a.t.Helper()
	run := beginIperf(a, b, to, append(way, "-n", strconv.Itoa(tcpSize))...)
	return func() {
		a.t.Helper()
		if got := run.report().End.Received.Bytes; got < tcpSize/2 {
			a.t.Errorf("TCP to %s %v: %d of %d bytes", to, way, got, tcpSize)
		}
	}
}

// What beginUDP transfers: bytes, and how many are in a datagram.
const udpSize, udpDatagram = 250_000, 1000

// beginUDP is like beginTCP. The datagrams are few enough to wait in a socket
// for a process that the machine has no time for, so that next to none is lost.
func beginUDP(a, b *host, to string, way ...string) (want func()) {
	a.t.Helper()
	run := beginIperf(a, b, to, append(way, "-u", "-b", "4M", "-l", strconv.Itoa(udpDatagram), "-n", strconv.Itoa(udpSize))...)
	return func() {
		a.t.Helper()
		if s := run.report().End.Sum; s.Bytes < udpSize || s.Packets < udpSize/udpDatagram || s.Lost > s.Packets/10 {
			a.t.Errorf("UDP to %s %v: %+v", to, way, s)
		}
	}
}

// report is what is read of iperf3's report.
type report struct {
	End struct {
		Received struct{ Bytes int64 } `json:"sum_received"` // TCP
		Sum      struct {
			Bytes, Packets int64
			Lost           int64 `json:"lost_packets"`
		} // UDP
	}
	Error string
}

var iperfPort atomic.Int32 // the last one that was taken, less 5200

// beginIperf starts iperf3(1) on a, and its server on b.
func beginIperf(a, b *host, to string, args ...string) *node {
	a.t.Helper()
	port := strconv.Itoa(5200 + int(iperfPort.Add(1)))
	server := b.daemon("iperf3", "-s", "-1", "-B", to, "-p", port, "--forceflush", "--rcv-timeout", "1800000") // ms: an outage is no end
	server.await(0, "Server listening")
	return a.daemon("iperf3", slices.Concat([]string{"-c", to, "-p", port, "-J"}, args)...)
}

// report waits for iperf3's end, and returns its report.
func (n *node) report() (r report) {
	n.t.Helper()
	n.wait()
	err := json.Unmarshal([]byte(n.log.String()), &r)
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	if err != nil {
		n.t.Errorf("%v: %v", n.cmd.Args, err)
	}
	return r
}
