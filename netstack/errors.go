package netstack

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// errnos are the operating system's errors for the stack's, by message: the
// adaptors of gVisor keep only that.
var errnos = map[string]error{
	(&tcpip.ErrBadLocalAddress{}).String():           syscall.EADDRNOTAVAIL,
	(&tcpip.ErrBroadcastDisabled{}).String():         syscall.EACCES,
	(&tcpip.ErrClosedForSend{}).String():             syscall.EPIPE,
	(&tcpip.ErrConnectionAborted{}).String():         syscall.ECONNABORTED,
	(&tcpip.ErrConnectionRefused{}).String():         syscall.ECONNREFUSED,
	(&tcpip.ErrConnectionReset{}).String():           syscall.ECONNRESET,
	(&tcpip.ErrDestinationRequired{}).String():       syscall.EDESTADDRREQ,
	(&tcpip.ErrHostUnreachable{}).String():           syscall.EHOSTUNREACH,
	(&tcpip.ErrMessageTooLong{}).String():            syscall.EMSGSIZE,
	(&tcpip.ErrNetworkUnreachable{}).String():        syscall.ENETUNREACH,
	(&tcpip.ErrNoBufferSpace{}).String():             syscall.ENOBUFS,
	(&tcpip.ErrNoPortAvailable{}).String():           syscall.EADDRINUSE,
	(&tcpip.ErrNotConnected{}).String():              syscall.ENOTCONN,
	(&tcpip.ErrNotPermitted{}).String():              syscall.EPERM,
	(&tcpip.ErrPortInUse{}).String():                 syscall.EADDRINUSE,
	(&tcpip.ErrTimeout{}).String():                   syscall.ETIMEDOUT,
	(&tcpip.ErrAddressFamilyNotSupported{}).String(): syscall.EAFNOSUPPORT,
}

// cause returns what err is about, in terms of packages net, os and syscall.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return os.ErrDeadlineExceeded
	}
	if errno, ok := errnos[err.Error()]; ok {
		return errno
	}
	return err
}

// opError makes the net.OpError of an operation that failed with err. If what
// it was on is closed, that is the cause.
func opError(op, network string, source, addr net.Addr, err error, closed bool) error {
	switch {
	case err == nil:
		return nil
	case closed:
		err = net.ErrClosed
	case err == io.EOF:
		return err
	default:
		err = cause(err)
	}
	return &net.OpError{Op: op, Net: network, Source: source, Addr: addr, Err: err}
}

// stackError is the error of an operation on the stack itself.
func stackError(err tcpip.Error) error {
	if errno, ok := errnos[err.String()]; ok {
		return errno
	}
	return errors.New(err.String())
}
