package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// RFC 1928 §3 to §6.
const (
	socksVersion = 5

	methodNone     = 0
	methodPassword = 2
	methodRefused  = 0xff

	commandConnect   = 1
	commandAssociate = 3

	addressIPv4   = 1
	addressDomain = 3
	addressIPv6   = 4

	replySucceeded          = 0
	replyFailed             = 1
	replyNotAllowed         = 2
	replyNetworkUnreachable = 3
	replyHostUnreachable    = 4
	replyRefused            = 5
	replyTTLExpired         = 6
	replyCommand            = 7
	replyAddressType        = 8
)

// RFC 1929 §2.
const (
	passwordVersion = 1
	passwordRight   = 0
	passwordWrong   = 1
)

var (
	errAddressType = errors.New("address type is not supported")
	errCommand     = errors.New("command is not supported")
	errSyntax      = errors.New("the client does not speak SOCKS 5")

	errAuthentication = errors.New("the client has no method or password that is right")
)

// replies are the codes for what a dial met. A time limit is what comes
// nearest to a TTL that expired.
var replies = map[failure]byte{
	failed:     replyFailed,
	notAllowed: replyNotAllowed,
	refused:    replyRefused,
	timedOut:   replyTTLExpired,
	noHost:     replyHostUnreachable,
	noNetwork:  replyNetworkUnreachable,
}

// replyFor returns the code that tells the client about err.
func replyFor(err error) byte {
	switch {
	case err == nil:
		return replySucceeded
	case errors.Is(err, errAddressType):
		return replyAddressType
	case errors.Is(err, errCommand):
		return replyCommand
	}
	return replies[failureOf(err)]
}

// The functions that read take no byte more than they need: what follows is
// the client's data.

// readMethods returns the authentication methods that the client offers.
func readMethods(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if head[0] != socksVersion {
		return nil, fmt.Errorf("%w: version %d", errSyntax, head[0])
	}
	methods := make([]byte, head[1])
	_, err := io.ReadFull(r, methods)
	return methods, err
}

// readPassword reads a request of RFC 1929.
func readPassword(r io.Reader) (username, password string, err error) {
	var version [1]byte
	if _, err := io.ReadFull(r, version[:]); err != nil {
		return "", "", err
	}
	if version[0] != passwordVersion {
		return "", "", fmt.Errorf("%w: version %d of passwords", errSyntax, version[0])
	}
	if username, err = readText(r); err != nil {
		return "", "", err
	}
	password, err = readText(r)
	return username, password, err
}

// readText reads a length in one byte and as many bytes.
func readText(r io.Reader) (string, error) {
	var length [1]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", err
	}
	b := make([]byte, length[0])
	_, err := io.ReadFull(r, b)
	return string(b), err
}

// readRequest reads a request of RFC 1928 §4. Its errors that have a reply of
// their own are errAddressType and errSyntax; others are r's.
func readRequest(r io.Reader) (command byte, to Endpoint, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, Endpoint{}, err
	}
	if head[0] != socksVersion || head[2] != 0 {
		return 0, Endpoint{}, fmt.Errorf("%w: request begins with %x", errSyntax, head)
	}
	to.Host, err = readHost(r, head[3])
	if err != nil {
		return 0, Endpoint{}, err
	}
	var port [2]byte
	if _, err := io.ReadFull(r, port[:]); err != nil {
		return 0, Endpoint{}, err
	}
	to.Port = binary.BigEndian.Uint16(port[:])
	return head[1], to, nil
}

func readHost(r io.Reader, kind byte) (string, error) {
	switch kind {
	case addressIPv4:
		var b [4]byte
		_, err := io.ReadFull(r, b[:])
		return netip.AddrFrom4(b).String(), err
	case addressIPv6:
		var b [16]byte
		_, err := io.ReadFull(r, b[:])
		return netip.AddrFrom16(b).String(), err
	case addressDomain:
		name, err := readText(r)
		if err == nil && name == "" {
			err = fmt.Errorf("%w: empty name", errSyntax)
		}
		return name, err
	}
	return "", errAddressType
}

// appendReply appends a reply of RFC 1928 §6. An invalid bound address is sent
// as 0.0.0.0:0: there are clients that read ten bytes before they look at the
// code.
func appendReply(b []byte, code byte, bound netip.AddrPort) []byte {
	return appendAddr(append(b, socksVersion, code, 0), bound)
}

// appendAddr appends address type, address and port of a, which is not mapped,
// or of 0.0.0.0:0 if a is invalid.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	switch {
	case !a.Addr().IsValid():
		b = append(b, addressIPv4, 0, 0, 0, 0)
	case a.Addr().Is4():
		ip := a.Addr().As4()
		b = append(append(b, addressIPv4), ip[:]...)
	default:
		ip := a.Addr().As16()
		b = append(append(b, addressIPv6), ip[:]...)
	}
	return binary.BigEndian.AppendUint16(b, a.Port())
}
