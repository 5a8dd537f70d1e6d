package wgquick

import (
	"net/netip"
	"strconv"
	"strings"

	"tstun/key"
	"tstun/tunnel"
)

// empty refuses a key of wg's without a value.
func (p *parser) empty(s setting) bool {
	if withoutSpaces(s.value) != "" {
		return false
	}
	p.refuse(s.atValue(), "leave the line out", "%s has no value", s.key)
	return true
}

// wrong refuses a value.
func (p *parser) wrong(s setting, value, want string) {
	p.refuse(s.atValue(), "", "%s = %s: want %s", s.key, shown(value), want)
}

const wantKey = "want a key in base64, 44 characters"

func (p *parser) privateKey(s setting) {
	if p.empty(s) {
		return
	}
	k, err := key.ParsePrivate(withoutSpaces(s.value))
	switch {
	case err != nil:
		p.refuse(s.atValue(), "tstun keygen and wg genkey make one", "not a PrivateKey: %s", wantKey)
	case k.IsZero():
		p.refuse(s.atValue(), "leave the line out", "PrivateKey is all zeros, which stands for none")
	}
	p.config.PrivateKey = k
}

func (p *parser) listenPort(s setting) {
	if p.empty(s) {
		return
	}
	port, ok := parsePort(withoutSpaces(s.value))
	if !ok {
		p.wrong(s, s.value, "a port from 0 to 65535, or the name of a UDP service")
	}
	p.config.ListenPort = port
}

func (p *parser) fwMark(s setting) {
	if p.empty(s) {
		return
	}
	value := withoutSpaces(s.value)
	if lower(value) == "off" {
		return
	}
	digits, base := value, 10
	if hex, ok := strings.CutPrefix(value, "0x"); ok && hex != "" {
		digits, base = hex, 16
	}
	mark, err := strconv.ParseUint(digits, base, 32)
	if err != nil || value[0] < '0' || '9' < value[0] {
		p.wrong(s, value, "off, a number up to 4294967295, or one from 0x0 to 0xffffffff")
	}
	p.config.FwMark = uint32(mark)
}

// shellSpace is what separates words in wg-quick, which makes spaces of commas.
const shellSpace = " \t,"

func (p *parser) address(s setting) {
	for _, it := range s.items(shellSpace) {
		prefix, wrong := parseAddress(it.text)
		switch {
		case wrong != "":
			p.refuse(it.place, "", "Address = %s: %s", shown(it.text), wrong)
		case p.addresses[prefix]:
			p.refuse(it.place, "keep one of the two", "Address = %s: it is there already", prefix)
		default:
			p.addresses[prefix] = true
			p.config.Addresses = append(p.config.Addresses, prefix)
		}
	}
}

// parseAddress returns an interface's address, or what is wrong with it.
func parseAddress(text string) (_ netip.Prefix, wrong string) {
	prefix, err := netip.ParsePrefix(text)
	if addr, single := netip.ParseAddr(text); single == nil && addr.Zone() == "" {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	addr := prefix.Addr()
	switch {
	case err != nil:
		return prefix, "want an IP address, such as 10.0.0.2/24"
	case addr.Is4In6():
		return prefix, "an IPv4 address in IPv6 form: write " + addr.Unmap().String()
	case addr.IsUnspecified(), addr.IsMulticast():
		return prefix, "want an address of one host"
	}
	return prefix, ""
}

func (p *parser) dns(s setting) {
	if _, ok := p.seen["DNS"]; !ok {
		p.seen["DNS"] = s.atKey()
	}
	for _, it := range s.items(shellSpace) {
		addr, err := netip.ParseAddr(it.text)
		switch {
		case err == nil && isZone(addr.Zone()):
			p.config.DNS = append(p.config.DNS, addr)
		case isSearchDomain(it.text):
			p.config.SearchDomains = append(p.config.SearchDomains, it.text)
		default:
			p.refuse(it.place, "", "DNS = %s: want the IP address of a server, or a search domain", shown(it.text))
		}
	}
}

// Bounds of an MTU: RFC 791 §3.2 has every module forward 68 bytes, and 65535
// is the longest packet.
const minMTU, maxMTU = 68, 65535

func (p *parser) mtu(s setting) {
	if s.value == "" {
		return
	}
	mtu, err := strconv.ParseUint(s.value, 10, 32)
	if err != nil || mtu < minMTU || maxMTU < mtu {
		p.wrong(s, s.value, "a number from 68 to 65535")
		return
	}
	p.config.MTU = int(mtu)
}

// tables are the names that iproute2 is built with. Numbers are those of
// linux/rtnetlink.h.
var tables = map[string]tunnel.Table{"": tunnel.TableAuto, "auto": tunnel.TableAuto, "off": tunnel.TableOff, "default": 253, "main": 254, "local": 255}

func (p *parser) table(s setting) {
	table, ok := tables[s.value]
	if !ok {
		if table, ok = parseTable(s.value); !ok {
			p.wrong(s, s.value, "off, auto or a number from 1 to 4294967295")
		}
	}
	p.config.Table = table
}

// parseTable reads a table's number as ip(8) does: hexadecimal behind 0x, octal
// behind 0.
func parseTable(text string) (tunnel.Table, bool) {
	digits, base := text, 10
	if hex, ok := strings.CutPrefix(lower(text), "0x"); ok {
		digits, base = hex, 16
	} else if strings.HasPrefix(text, "0") {
		base = 8
	}
	n, err := strconv.ParseUint(digits, base, 32)
	return tunnel.Table(n), err == nil && n > 0
}

func (p *parser) saveConfig(s setting) {
	switch lower(s.value) {
	case "true":
		p.config.SaveConfig = true
		p.warn(s.atKey(), "SaveConfig = true: this file is never written, so changes to the running tunnel are lost")
	case "false":
	default:
		p.wrong(s, s.value, "true or false")
	}
}
