package main

import (
	"fmt"
	"strings"

	"tstun/policy"
)

// namedFlow is a flow with the policy's names for its ends, if there are any.
type namedFlow struct {
	policy.Flow
	SrcName string `json:"srcName,omitempty"`
	DstName string `json:"dstName,omitempty"`
}

func newNamedFlow(names policy.Names, flow policy.Flow) namedFlow {
	f := namedFlow{Flow: flow}
	f.SrcName, _ = names.Of(flow.Src)
	f.DstName, _ = names.Of(flow.Dst.Addr())
	return f
}

// String tells the flow with the policy's names, such as
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

// withName puts an address behind its name, if it has one.
func withName(name, address string) string {
	if name == "" {
		return address
	}
	return name + " (" + address + ")"
}
