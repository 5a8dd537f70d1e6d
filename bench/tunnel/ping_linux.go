package tunnel

import (
	"encoding/binary"
	"net"
	"time"

	"tstun/bench/report"
)

const pingWait = time.Second // until a ping counts as lost

// ping sends small UDP packets to an echo service, each when the one before
// came back or was lost, and no more than one in each interval.
func ping(req request) (r reply, err error) {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(req.To))
	if err != nil {
		return r, err
	}
	defer c.Close()
	var trips []float64
	start := time.Now()
	for i := range req.Count {
		time.Sleep(time.Until(start.Add(time.Duration(i) * req.Every)))
		if took, ok := roundTrip(c, uint64(i)); ok {
			trips = append(trips, float64(took))
		}
	}
	r.Packets, r.Lost = len(trips), req.Count-len(trips)
	if len(trips) > 0 {
		r.Median = time.Duration(report.Quantile(trips, 0.5))
		r.P99 = time.Duration(report.Quantile(trips, 0.99))
	}
	return r, nil
}

// roundTrip sends packet number n and waits until it is back.
func roundTrip(c *net.UDPConn, n uint64) (time.Duration, bool) {
	var b [56]byte // as ping(8) sends
	binary.BigEndian.PutUint64(b[:], n)
	start := time.Now()
	c.SetDeadline(start.Add(pingWait))
	if _, err := c.Write(b[:]); err != nil {
		time.Sleep(time.Millisecond) // nobody listens yet, perhaps
		return 0, false
	}
	for {
		if _, err := c.Read(b[:]); err != nil {
			return 0, false
		}
		if binary.BigEndian.Uint64(b[:]) == n { // not a late one
			return time.Since(start), true
		}
	}
}
