package packet

// Problem says why Decode could not decode a packet in full. The zero value is
// ProblemNone.
type Problem uint8

const (
	// ProblemNone: the packet was decoded in full.
	ProblemNone Problem = iota
	// ProblemMalformed: the IP header contradicts itself or the buffer.
	// Nothing else in the Parsed is valid.
	ProblemMalformed
	// ProblemTruncated: the IP header is good, but the packet ends inside
	// its transport header, or that header claims an impossible length.
	ProblemTruncated
	// ProblemExtensionHeaders: the IPv6 extension headers are too many, out
	// of order, of a forbidden kind, or leave the packet, so the transport
	// protocol is not known.
	ProblemExtensionHeaders
	// ProblemTinyFragment: a first fragment without its whole transport
	// header (RFC 7112), or a later one that would overwrite it (RFC 3128).
	ProblemTinyFragment
	// ProblemOptions: the options of the IPv4 header cannot be walked, or
	// one is a source route (LSRR, SSRR) with a hop still to visit, so that
	// the packet's final destination is not the one in its header.
	ProblemOptions
)

// String returns the problem in kebab case, such as "tiny-fragment".
func (p Problem) String() string {
	switch p {
	case ProblemNone:
		return "none"
	case ProblemMalformed:
		return "malformed"
	case ProblemTruncated:
		return "truncated"
	case ProblemExtensionHeaders:
		return "extension-headers"
	case ProblemTinyFragment:
		return "tiny-fragment"
	case ProblemOptions:
		return "options"
	}
	return "invalid"
}
