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

// errnos are the operating system's errors for the stack's, by message.
var errnos = map[string]syscall.Errno{
	(&tcpip.ErrAborted{}).String():                   syscall.ECONNABORTED,
	(&tcpip.ErrAddressFamilyNotSupported{}).String(): syscall.EAFNOSUPPORT,
	(&tcpip.ErrBadLocalAddress{}).String():           syscall.EADDRNOTAVAIL,
	(&tcpip.ErrBroadcastDisabled{}).String():         syscall.EACCES,
	(&tcpip.ErrClosedForSend{}).String():             syscall.EPIPE,
	(&tcpip.ErrConnectionAborted{}).String():         syscall.ECONNABORTED,
	(&tcpip.ErrConnectionRefused{}).String():         syscall.ECONNREFUSED,
	(&tcpip.ErrConnectionReset{}).String():           syscall.ECONNRESET,
	(&tcpip.ErrDestinationRequired{}).String():       syscall.EDESTADDRREQ,
	(&tcpip.ErrHostDown{}).String():                  syscall.EHOSTDOWN,
	(&tcpip.ErrHostUnreachable{}).String():           syscall.EHOSTUNREACH,
	(&tcpip.ErrInvalidEndpointState{}).String():      syscall.EINVAL,
	(&tcpip.ErrInvalidOptionValue{}).String():        syscall.EINVAL,
	(&tcpip.ErrMessageTooLong{}).String():            syscall.EMSGSIZE,
	(&tcpip.ErrNetworkUnreachable{}).String():        syscall.ENETUNREACH,
	(&tcpip.ErrNoBufferSpace{}).String():             syscall.ENOBUFS,
	(&tcpip.ErrNoPortAvailable{}).String():           syscall.EADDRNOTAVAIL,
	(&tcpip.ErrNotConnected{}).String():              syscall.ENOTCONN,
	(&tcpip.ErrNotPermitted{}).String():              syscall.EPERM,
	(&tcpip.ErrPortInUse{}).String():                 syscall.EADDRINUSE,
	(&tcpip.ErrTimeout{}).String():                   syscall.ETIMEDOUT,
}

// stackError returns err in the terms of packages io and os: as package net
// has it from the named system call.
func stackError(call string, err tcpip.Error) error {
	if _, end := err.(*tcpip.ErrClosedForReceive); end {
		return io.EOF
	}
	if errno, ok := errnos[err.String()]; ok {
		return os.NewSyscallError(call, errno)
	}
	return errors.New(err.String())
}

// socketError returns stackError's error of a socket, or net.ErrClosed if it was
// closed meanwhile.
func socketError(s interface{ isClosed() bool }, call string, err tcpip.Error) error {
	if s.isClosed() {
		return net.ErrClosed
	}
	return stackError(call, err)
}

// contextError returns ctx's error as package net words it.
func contextError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return canceledError{}
	}
	return timeoutError{}
}

// timeoutError is that a call's context has run out.
type timeoutError struct{}

func (timeoutError) Error() string     { return "i/o timeout" }
func (timeoutError) Timeout() bool     { return true }
func (timeoutError) Temporary() bool   { return true }
func (timeoutError) Is(err error) bool { return err == context.DeadlineExceeded }

// canceledError is that a call's context was canceled.
type canceledError struct{}

func (canceledError) Error() string     { return "operation was canceled" }
func (canceledError) Is(err error) bool { return err == context.Canceled }

// opError returns the net.OpError of an operation that failed with err, and
// nil and io.EOF as they are.
func opError(op, network string, source, addr net.Addr, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: network, Source: source, Addr: addr, Err: err}
}
