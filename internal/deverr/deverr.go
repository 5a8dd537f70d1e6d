// Package deverr tells the errors of a TUN device apart: those of making it, of
// reading and writing it, and of closing it. It is the one place that knows
// which error number means what. What a finding of tundev.Diagnose explains to
// a person, tundev's diagnose files say.
package deverr

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Transient reports whether a device that failed with err can be expected to
// work at the next attempt.
func Transient(err error) bool {
	return NoMemory(err) || isAny(err, syscall.EAGAIN, syscall.EINTR)
}

// NoMemory reports whether the system had no memory for the request.
func NoMemory(err error) bool { return isAny(err, syscall.ENOMEM, syscall.ENOBUFS) }

// LinkDown reports whether Linux refused a packet because the link is down
// (tun_get_user of drivers/net/tun.c). The next packet may find it up.
func LinkDown(err error) bool { return errors.Is(err, syscall.EIO) }

// Closed reports whether the device is closed, or its interface deleted. It
// stays so.
func Closed(err error) bool { return errors.Is(err, os.ErrClosed) }

// MTUUnknown reports whether the system kept the MTU of an interface that
// exists to itself: the interface is in a namespace out of reach (ENODEV), the
// program has not the right to ask (Android), or the socket to ask on is closed.
func MTUUnknown(err error) bool {
	return isAny(err, syscall.ENODEV, fs.ErrPermission, os.ErrClosed)
}

// ClosedBefore reports whether wireguard-go's device only complained that it
// could not tell its listener to end (EPIPE), because the listener had ended.
// The device is closed all the same.
func ClosedBefore(err error) bool { return isAny(err, os.ErrClosed, syscall.EPIPE) }

// NoDriver reports whether the device node is missing, or has no
// driver behind it.
func NoDriver(err error) bool {
	return isAny(err, fs.ErrNotExist, syscall.ENODEV, syscall.ENXIO)
}

// NoInterface reports whether a BSD knows no interface of the name that it was
// to destroy (SIOCIFDESTROY of netintro(4)).
func NoInterface(err error) bool { return isAny(err, syscall.ENXIO, syscall.EINVAL) }

// Unsupported reports whether the kernel does not take the flags, the form of
// a packet, or the name that it was given.
func Unsupported(err error) bool { return errors.Is(err, syscall.EINVAL) }

// Busy reports whether another descriptor has the interface.
func Busy(err error) bool { return errors.Is(err, syscall.EBUSY) }

// Exists reports whether there is an interface, an address or a route of that
// name already.
func Exists(err error) bool { return errors.Is(err, syscall.EEXIST) }

// ProcessFileLimit reports whether the process has as many files open as it
// may.
func ProcessFileLimit(err error) bool { return errors.Is(err, syscall.EMFILE) }

// SystemFileLimit reports whether the system has as many files open as it may.
func SystemFileLimit(err error) bool { return errors.Is(err, syscall.ENFILE) }

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
