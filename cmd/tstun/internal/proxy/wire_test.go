package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"testing"
)

// again encodes what was read, by the form of RFC 1928 §4.
func again(kind byte, host string, addr netip.AddrPort) []byte {
	if kind != addressDomain {
		return appendAddr(nil, addr)
	}
	b := append([]byte{addressDomain, byte(len(host))}, host...)
	return append(b, byte(addr.Port()>>8), byte(addr.Port()))
}

// What is read is what was sent, and not a byte more is taken.
func FuzzSOCKS5Request(f *testing.F) {
	f.Add([]byte{5, 1, 0, 1, 192, 0, 2, 1, 0, 80, 'd'})
	f.Add([]byte{5, 3, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2})
	f.Add([]byte{5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1, 1, 2})
	f.Add(append([]byte{5, 1, 0, 3, 11}, "example.com\x00\x50"...))
	f.Add([]byte{5, 1, 0, 3, 0, 0, 80})
	f.Add([]byte{4, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		command, to, err := readRequest(r)
		if err != nil {
			checkRequestError(t, err, b)
			return
		}
		used := b[:len(b)-r.Len()]
		addr, _ := to.addr()
		if used[3] == addressIPv6 { // also a mapped one
			addr = netip.AddrPortFrom(netip.AddrFrom16([16]byte(used[4:20])), to.Port)
		} else if used[3] == addressDomain {
			addr = netip.AddrPortFrom(netip.Addr{}, to.Port)
		}
		want := append([]byte{socksVersion, command, 0}, again(used[3], to.Host, addr)...)
		if !bytes.Equal(used, want) {
			t.Errorf("%x was read as %x", used, want)
		}
	})
}

func checkRequestError(t *testing.T, err error, b []byte) {
	short := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if !short && !errors.Is(err, errSyntax) && !errors.Is(err, errAddressType) {
		t.Errorf("%x: %v", b, err)
	}
	if short && len(b) >= 4+1+255+2 {
		t.Errorf("%x is long enough: %v", b, err)
	}
}

// Header and data together are the datagram.
func FuzzUDPHeader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 192, 0, 2, 1, 0, 80, 'd'})
	f.Add([]byte{0, 0, 1, 1, 192, 0, 2, 1, 0, 80, 'd'})
	f.Add([]byte{0, 0, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2})
	f.Add(append([]byte{0, 0, 0, 3, 11}, "example.com\x00\x50data"...))
	f.Add([]byte{0, 0, 0, 3, 255, 'a', 0, 80})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, data, err := parseUDPHeader(b)
		switch {
		case errors.Is(err, errFragment):
			if b[2] == 0 {
				t.Errorf("%x is no fragment", b)
			}
		case errors.Is(err, errHeader):
		case err != nil:
			t.Errorf("%x: %v", b, err)
		default:
			whole := append([]byte{0, 0, 0}, again(b[3], string(h.name), h.addr)...)
			if whole = append(whole, data...); !bytes.Equal(whole, b) {
				t.Errorf("%x was read as %x", b, whole)
			}
			if (len(h.name) > 0) == h.addr.Addr().IsValid() {
				t.Errorf("%x: name %q, address %v", b, h.name, h.addr)
			}
		}
	})
}
