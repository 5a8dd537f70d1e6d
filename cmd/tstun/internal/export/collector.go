package export

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tstun"
	"tstun/filter"
	"tstun/netstack"
	"tstun/tunnel"
)

// collector makes metrics of one snapshot for each scrape, so that they fit
// together.
type collector struct{ source Source }

// Describe tells all metrics.
func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range metrics {
		descs <- m.desc
	}
}

// Collect tells what they are now.
func (c collector) Collect(to chan<- prometheus.Metric) {
	s := c.source.Status()
	w := writer{to, s.Name}
	w.tell(tunnelInfo, 1, string(s.Mode))
	for i := range s.Peers {
		w.peer(&s.Peers[i])
	}
	w.direction("in", &s.Counters.In)
	w.direction("out", &s.Counters.Out)
	w.tell(heldPackets, float64(s.Counters.In.Held))
	if s.Netstack != nil {
		w.netstack(s.Netstack)
	}
	if s.Policy.File != "" {
		w.policy(&s.Policy)
	}
}

// writer sends the metrics of a tunnel.
type writer struct {
	to   chan<- prometheus.Metric
	name string // of the interface, the first label of all
}

// tell sends a value with the labels that follow the interface. What is not
// UTF-8 in them would end the scrape, and is replaced.
func (w writer) tell(m metric, value float64, labels ...string) {
	labels = append([]string{w.name}, labels...)
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	w.to <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
}

func (w writer) peer(p *tunnel.PeerStatus) {
	labels := []string{p.PublicKey.String(), allowedIPs(p), p.Name}
	w.tell(peerSent, float64(p.Sent), labels...)
	w.tell(peerReceived, float64(p.Received), labels...)
	w.tell(peerHandshake, float64(unixOrZero(p.Handshake)), labels...)
}

// allowedIPs returns them as `wg show dump` does, which is where
// prometheus_wireguard_exporter has its label from.
func allowedIPs(p *tunnel.PeerStatus) string {
	if len(p.AllowedIPs) == 0 {
		return "(none)"
	}
	var texts []string
	for _, prefix := range p.AllowedIPs {
		texts = append(texts, prefix.String())
	}
	return strings.Join(texts, ",")
}

// unixOrZero returns whole seconds since 1970, or 0 if t is no time.
func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func (w writer) direction(name string, c *tstun.DirectionCounters) {
	w.tell(deliveredPackets, float64(c.Packets), name)
	w.tell(deliveredBytes, float64(c.Bytes), name)
	for _, reason := range filter.Reasons() {
		w.tell(droppedPackets, float64(c.Drops[reason]), name, reason.String())
	}
}

func (w writer) netstack(c *netstack.Counters) {
	w.traffic("in", c.In)
	w.traffic("out", c.Out)
	for _, reason := range netstack.Reasons() {
		w.tell(stackDropped, float64(c.Drops[reason]), reason.String())
	}
	w.tell(stackConnections, float64(c.Connections))
	w.tell(stackMemory, float64(c.Memory))
	w.tell(stackBound, float64(c.MemoryBound))
}

func (w writer) traffic(direction string, t netstack.Traffic) {
	w.tell(stackPackets, float64(t.Packets), direction)
	w.tell(stackBytes, float64(t.Bytes), direction)
}

func (w writer) policy(p *tunnel.PolicyStatus) {
	w.tell(policyLoaded, float64(unixOrZero(p.Loaded)))
	w.tell(policyRules, float64(p.Rules))
	bad := 0.0
	if p.Error != "" {
		bad = 1
	}
	w.tell(policyBad, bad)
	w.tell(policyRefused, float64(p.Refused))
}
