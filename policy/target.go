package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tstun/filter"
	"tstun/ipproto"
)

// target is a destination: addresses, each with each of the ports.
type target struct {
	nets  []netip.Prefix
	ports []filter.PortRange
}

func (t target) allPorts() bool { return len(t.ports) == 1 && t.ports[0] == filter.AllPorts }

// append appends the pairs of addresses and ports to all.
func (t target) append(all []filter.NetPortRange) []filter.NetPortRange {
	for _, net := range t.nets {
		for _, ports := range t.ports {
			all = append(all, filter.NetPortRange{Net: net, Ports: ports})
		}
	}
	return all
}

// parseTarget reads HOST:PORTS for the protocols.
func parseTarget(text string, n *names, protos []ipproto.Proto) (target, error) {
	host, portText, err := splitTarget(text)
	if err != nil {
		return target{}, err
	}
	t := target{ports: []filter.PortRange{filter.AllPorts}}
	if t.nets, err = n.lookUp(host); err != nil {
		return t, fmt.Errorf("%q: %w", host, err)
	}
	portless := !slices.ContainsFunc(protos, ipproto.Proto.HasPorts)
	if portText == "" && portless {
		return t, nil
	}
	if t.ports, err = parsePorts(portText, protos); err != nil {
		return t, err
	}
	for _, p := range protos {
		if !t.allPorts() && !p.HasPorts() && !p.IsICMP() {
			return t, fmt.Errorf(`%v has no ports: want the ports "*", or a rule of its own for %[1]v`, p)
		}
	}
	return t, nil
}

const wantTarget = `want HOST:PORTS, such as web:22,8000-8999, web:https or [fd7a::1]:* (brackets where HOST has colons)`

// splitTarget cuts HOST:PORTS in two. Without ports, ports is empty.
func splitTarget(text string) (host, ports string, err error) {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		host, ports, ok = strings.Cut(rest, "]")
		if !ok || ports != "" && (ports[0] != ':' || len(ports) == 1) {
			return "", "", errors.New(wantTarget)
		}
		return host, strings.TrimPrefix(ports, ":"), nil
	}
	host, ports, found := strings.Cut(text, ":")
	if strings.Contains(ports, ":") || found && ports == "" {
		return "", "", errors.New(wantTarget)
	}
	return host, ports, nil
}

// parsePorts reads "*" or a list such as 22,8000-8999,https, and returns it in
// order, without overlap.
func parsePorts(text string, protos []ipproto.Proto) ([]filter.PortRange, error) {
	if text == "*" {
		return []filter.PortRange{filter.AllPorts}, nil
	}
	if text == "" {
		return nil, errors.New("no ports: " + wantTarget)
	}
	var all []filter.PortRange
	for part := range strings.SplitSeq(text, ",") {
		r, err := parsePortRange(part, protos)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if all = joinPorts(all); all[0] == (filter.PortRange{}) {
		return nil, errPortZero
	}
	return all, nil
}

// parsePortRange reads a port, a range of ports or the name of a service.
func parsePortRange(text string, protos []ipproto.Proto) (filter.PortRange, error) {
	if isService(text) {
		port, err := servicePort(text, protos)
		return filter.PortRange{First: port, Last: port}, err
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, ok1 := parsePort(first)
	to, ok2 := parsePort(last)
	switch {
	case !ok1 || !ok2:
		return filter.PortRange{}, fmt.Errorf(`ports %q: want "*", or ports from 0 to 65535, ranges of them and services, such as 22,8000-8999,https`, text)
	case from > to:
		return filter.PortRange{}, fmt.Errorf("ports %q: an empty range: want %d-%d", text, to, from)
	}
	return filter.PortRange{First: from, Last: to}, nil
}

func parsePort(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil
}

// joinPorts sorts ranges and joins those that touch.
func joinPorts(ranges []filter.PortRange) []filter.PortRange {
	slices.SortFunc(ranges, func(a, b filter.PortRange) int { return int(a.First) - int(b.First) })
	joined := ranges[:0]
	for _, r := range ranges {
		if n := len(joined); n > 0 && int(r.First) <= int(joined[n-1].Last)+1 {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
		} else {
			joined = append(joined, r)
		}
	}
	return joined
}

// parseProto returns the protocols that a name or a number stands for.
func parseProto(text string) ([]ipproto.Proto, error) {
	if strings.EqualFold(text, "icmp") {
		return []ipproto.Proto{ipproto.ICMPv4, ipproto.ICMPv6}, nil
	}
	var p ipproto.Proto
	if err := p.UnmarshalText([]byte(text)); err != nil || p == ipproto.Unknown || p == ipproto.Fragment {
		return nil, errors.New("want tcp, udp, sctp, icmp, icmpv4, icmpv6, igmp, gre, or a number from 1 to 254")
	}
	return []ipproto.Proto{p}, nil
}

// addProtos appends those of more that all does not have.
func addProtos(all, more []ipproto.Proto) []ipproto.Proto {
	for _, p := range more {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}
