package export

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metric is a metric with the names of its labels.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

// The labels of what is counted for each peer are those of
// prometheus_wireguard_exporter 3.6, which boards ask for.
var peerLabels = []string{"interface", "public_key", "allowed_ips", "friendly_name"}

// The metrics. Each that has a value for every reason has them from the start,
// so that rate() sees the first.
var (
	peerSent      = counter("wireguard_sent_bytes_total", "Bytes of WireGuard messages that were sent to the peer.", peerLabels...)
	peerReceived  = counter("wireguard_received_bytes_total", "Bytes of WireGuard messages that were received from the peer.", peerLabels...)
	peerHandshake = gauge("wireguard_latest_handshake_seconds", "Unix time of the latest handshake with the peer, or 0 if there was none.", peerLabels...)

	tunnelInfo       = gauge("tstun_tunnel_info", "1, with the tunnel's mode.", "interface", "mode")
	deliveredPackets = counter("tstun_delivered_packets_total", "IP packets that went through the tunnel or to a hook: in from peers, out to peers.", "interface", "direction")
	deliveredBytes   = counter("tstun_delivered_bytes_total", "Lengths of those packets.", "interface", "direction")
	droppedPackets   = counter("tstun_dropped_packets_total", "IP packets that were dropped, each for one reason.", "interface", "direction", "reason")
	heldPackets      = gauge("tstun_held_packets", "Inbound fragments that wait for the first of their datagram.", "interface")

	stackPackets     = counter("tstun_netstack_packets_total", "IP packets that came for the network stack (in) or that it sent (out).", "interface", "direction")
	stackBytes       = counter("tstun_netstack_bytes_total", "Lengths of those packets.", "interface", "direction")
	stackDropped     = counter("tstun_netstack_dropped_packets_total", "IP packets that ended in the network stack, each for one reason.", "interface", "reason")
	stackConnections = gauge("tstun_netstack_connections", "TCP connections of the network stack that are open.", "interface")
	stackMemory      = gauge("tstun_netstack_memory_bytes", "Bytes that peers make the network stack hold.", "interface")
	stackBound       = gauge("tstun_netstack_memory_limit_bytes", "Bytes that peers can make it hold at most.", "interface")

	policyLoaded  = gauge("tstun_policy_loaded_timestamp_seconds", "Unix time at which the policy in force was loaded.", "interface")
	policyRules   = gauge("tstun_policy_rules", "Rules of the policy in force.", "interface")
	policyBad     = gauge("tstun_policy_file_refused", "1 if the policy file, as it was last read, was refused, else 0.", "interface")
	policyRefused = counter("tstun_policy_refused_total", "How often the policy file was refused.", "interface")
)

// metrics are all of the above.
var metrics = []metric{
	peerSent, peerReceived, peerHandshake,
	tunnelInfo, deliveredPackets, deliveredBytes, droppedPackets, heldPackets,
	stackPackets, stackBytes, stackDropped, stackConnections, stackMemory, stackBound,
	policyLoaded, policyRules, policyBad, policyRefused,
}

// newRegistry returns what a scrape gathers: the tunnel's metrics, and of the
// process its build, its memory and processor time, and a few of Go's runtime.
func newRegistry(source Source) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collector{source},
		collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled()),
	)
	return r
}
