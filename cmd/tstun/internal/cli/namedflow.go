package cli

import (
	"fmt"
	"strings"

	"tstun/policy"
)

// namedFlow is a flow with the policy's names of its addresses. A name is "" if
// the policy has none.
type namedFlow struct {
	policy.Flow
	SrcName string `json:"srcName,omitempty"`
	DstName string `json:"dstName,omitempty"`
}

// newNamedFlow looks the names of a flow's addresses up.
func newNamedFlow(names policy.Names, flow policy.Flow) namedFlow {
	f := namedFlow{Flow: flow}
	f.SrcName, _ = names.Of(flow.Src)
	f.DstName, _ = names.Of(flow.Dst.Addr())
	return f
}

// String returns the flow with its names:
// "tcp from anna (100.64.0.21) to web:22 (100.64.0.10)".
func (f namedFlow) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v from %s to ", f.Proto, withName(f.SrcName, f.Src.String()))
	switch port := fmt.Sprintf(":%d", f.Dst.Port()); {
	case !f.Proto.HasPorts():
		b.WriteString(withName(f.DstName, f.Dst.Addr().String()))
	case f.DstName != "":
		b.WriteString(withName(f.DstName+port, f.Dst.Addr().String()))
	default:
		b.WriteString(f.Dst.String())
	}
	return b.String()
}

// withName returns an address in parentheses behind its name, or the address
// alone if the name is "".
func withName(name, address string) string {
	if name == "" {
		return address
	}
	return name + " (" + address + ")"
}
