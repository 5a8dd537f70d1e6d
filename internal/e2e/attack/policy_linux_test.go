package attack_test

import (
	"fmt"
	"net/netip"
	"strings"

	"tstun/filter"
	"tstun/ipproto"
)

// policy is what both the filter and the kernel are told: the services that
// are open to everybody, and whether a flow that a peer opened outlives the
// rules that let it in.
type policy struct {
	tcp, udp  []uint16
	icmp, esp bool
	keep      bool
}

const protoESP ipproto.Proto = 50 // RFC 4303 §2

// policies come into force in any order. A packet's hop limit tells the kernel
// which.
var policies = []policy{
	{tcp: []uint16{22}, udp: []uint16{53}, icmp: true},
	{tcp: []uint16{22, 80}, esp: true},
	{udp: []uint16{53, 80}, icmp: true, esp: true},
	{tcp: []uint16{22}, udp: []uint16{53}, icmp: true, keep: true},
	{tcp: []uint16{22, 80}, esp: true, keep: true},
	{udp: []uint16{53, 80}, icmp: true, esp: true, keep: true},
}

// hopLimit is what packets carry that are sent while policies[i] is in force.
func hopLimit(i int) uint8 { return uint8(40 + i) }

// freely is the hop limit of packets to Local that the kernel lets pass.
const freely = 50

// config returns the policy for the filter.
func (p *policy) config(local []netip.Prefix, state *filter.State) filter.Config {
	c := filter.Config{Local: local, State: state, Keep: p.keep}
	allow := func(ports filter.PortRange, protos ...ipproto.Proto) {
		m := filter.Match{IPProto: protos}
		for _, net := range []string{"0.0.0.0/0", "::/0"} {
			m.Srcs = append(m.Srcs, netip.MustParsePrefix(net))
		}
		for _, net := range local {
			m.Dsts = append(m.Dsts, filter.NetPortRange{Net: net, Ports: ports})
		}
		c.Matches = append(c.Matches, m)
	}
	for _, port := range p.tcp {
		allow(filter.PortRange{First: port, Last: port}, ipproto.TCP)
	}
	for _, port := range p.udp {
		allow(filter.PortRange{First: port, Last: port}, ipproto.UDP)
	}
	if p.icmp {
		allow(filter.AllPorts, ipproto.ICMPv4, ipproto.ICMPv6)
	}
	if p.esp {
		allow(filter.AllPorts, protoESP)
	}
	return c
}

// family is what differs between the rules for the two versions of IP.
type family struct {
	table, hops, dst, icmp, local, gateway string
}

var families = []family{
	{"ip", "ip ttl", "ip daddr", "icmp type != { 0, 3, 4, 5, 11, 12, 14, 16, 18 }", host4.String(), gateway4.String()},
	{"ip6", "ip6 hoplimit", "ip6 daddr", "icmpv6 type != { 1, 2, 3, 4, 129, 137, 140 }", host6.String(), gateway6.String()},
}

// rules returns the chain for the policy. The order of judgement is that of
// package filter's documentation.
func (p *policy) rules(f family) string {
	var b strings.Builder
	if p.keep {
		b.WriteString("ct state established,related accept\n")
	} else {
		b.WriteString("ct state established ct direction reply accept\nct state related accept\n")
	}
	for _, port := range p.tcp {
		fmt.Fprintf(&b, "tcp dport %d accept\n", port)
	}
	for _, port := range p.udp {
		fmt.Fprintf(&b, "udp dport %d accept\n", port)
	}
	if p.icmp {
		fmt.Fprintf(&b, "%s accept\n", f.icmp)
	}
	if p.esp {
		b.WriteString("meta l4proto esp accept\n")
	}
	b.WriteString("goto refuse\n")
	return b.String()
}

// ruleset returns all policies for nft. A packet leaves with what the kernel
// thought of it in its DSCP field, also a refused one, of which a copy leaves
// by an interface of its own.
func ruleset() string {
	var b strings.Builder
	for _, f := range families {
		fmt.Fprintf(&b, "table %s oracle {\n", f.table)
		for i, name := range ctNames {
			fmt.Fprintf(&b, "chain as_%s { %s dscp set %d\n}\n", name, f.table, i+1)
			fmt.Fprintf(&b, "chain as_reply_%s { %s dscp set %d\n}\n", name, f.table, i+1+replyBit)
		}
		fmt.Fprintf(&b, "chain note {\nct direction reply ct state vmap { %s }\nct state vmap { %s }\n}\n", jumps("as_reply_"), jumps("as_"))
		fmt.Fprintf(&b, "chain refuse { dup to %s device %q drop\n}\n", f.gateway, refusedTUN)
		hops := []string{fmt.Sprintf("%d : accept", freely-1)}
		for i := range policies {
			fmt.Fprintf(&b, "chain policy%d {\n%s}\n", i, policies[i].rules(f))
			hops = append(hops, fmt.Sprintf("%d : goto policy%d", hopLimit(i)-1, i))
		}
		b.WriteString("chain forward {\ntype filter hook forward priority 0; policy drop;\njump note\n")
		fmt.Fprintf(&b, "iifname %q accept\n", hostTUN)
		if f.table == "ip" {
			fmt.Fprintf(&b, "ip daddr %s accept\n", markIn)
		}
		fmt.Fprintf(&b, "%s != %s goto refuse\n%s vmap { %s }\n}\n", f.dst, f.local, f.hops, strings.Join(hops, ", "))
		b.WriteString("}\n")
	}
	return b.String()
}

func jumps(prefix string) string {
	var list []string
	for _, name := range ctNames {
		list = append(list, name+" : goto "+prefix+name)
	}
	return strings.Join(list, ", ")
}
