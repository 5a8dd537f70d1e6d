//go:build !windows

package proxy

import "syscall"

// The system's errors, by what they mean here.
var (
	refusedErrors   = []error{syscall.ECONNREFUSED}
	noHostErrors    = []error{syscall.EHOSTUNREACH, syscall.EHOSTDOWN}
	noNetworkErrors = []error{syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EAFNOSUPPORT, syscall.EADDRNOTAVAIL}
	deniedErrors    = []error{syscall.EPERM, syscall.EACCES}
	passingErrors   = []error{syscall.ECONNRESET, syscall.EMSGSIZE, syscall.EHOSTUNREACH, syscall.ENETUNREACH}
)
