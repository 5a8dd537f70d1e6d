package proxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
)

// failure is why a destination was not reached. Of several, for the addresses
// of one name, the greatest counts: it is from the farthest place.
type failure int

const (
	failed failure = iota // nothing that has a name here
	noNetwork
	noHost
	timedOut
	refused
	notAllowed
)

// failureOf classifies the error of a dial.
func failureOf(err error) (f failure) {
	var several interface{ Unwrap() []error }
	if !errors.As(err, &several) {
		return failureOfOne(err)
	}
	for _, one := range several.Unwrap() {
		f = max(f, failureOf(one))
	}
	return f
}

func failureOfOne(err error) failure {
	var dns *net.DNSError
	switch {
	case errors.Is(err, ErrDestination) || is(err, deniedErrors):
		return notAllowed
	case is(err, refusedErrors):
		return refused
	case isTimeout(err):
		return timedOut
	case is(err, noHostErrors) || errors.As(err, &dns):
		return noHost
	case is(err, noNetworkErrors):
		return noNetwork
	}
	return failed
}

func is(err error, any []error) bool {
	return slices.ContainsFunc(any, func(e error) bool { return errors.Is(err, e) })
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// isPassing reports whether a UDP socket's error is about an earlier datagram,
// and the socket still works.
func isPassing(err error) bool { return is(err, refusedErrors) || is(err, passingErrors) }

// sentence returns err in one line.
func sentence(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
