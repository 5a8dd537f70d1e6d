package hostnet

// Warning is something that a Config asks for and the host does not give,
// though the tunnel stands.
type Warning struct {
	Kind WarningKind
	Text string // sentences: what is, and what to do
}

// WarningKind is what a Warning is about.
type WarningKind string

const (
	// WarnMTU: the MTU is too small for IPv6, which is left out.
	WarnMTU WarningKind = "mtu"
	// WarnIPv6Off: the interface has no IPv6, which is left out.
	WarnIPv6Off WarningKind = "ipv6-off"
	// WarnLeak: of a full tunnel, one IP version goes around it.
	WarnLeak WarningKind = "leak"
	// WarnEndpoint: a route takes the tunnel's own packets into the tunnel.
	WarnEndpoint WarningKind = "endpoint"
	// WarnReversePath: the kernel may drop what comes from the endpoints.
	WarnReversePath WarningKind = "reverse-path"
	// WarnNoDNS: nobody takes the DNS servers.
	WarnNoDNS WarningKind = "no-dns"
	// WarnOtherDNS: names are asked elsewhere too, or only.
	WarnOtherDNS WarningKind = "other-dns"
)
