package proxy

import "syscall"

// The system's errors, by what they mean here, with the numbers of winsock2.h:
// those that package syscall has under their POSIX names are its inventions.
// netstack returns the latter.
var (
	refusedErrors   = []error{syscall.Errno(10061), syscall.ECONNREFUSED}
	noHostErrors    = []error{syscall.Errno(10065), syscall.Errno(10064), syscall.EHOSTUNREACH, syscall.EHOSTDOWN}
	noNetworkErrors = []error{syscall.Errno(10051), syscall.Errno(10050), syscall.Errno(10047), syscall.Errno(10049),
		syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EAFNOSUPPORT, syscall.EADDRNOTAVAIL}
	deniedErrors  = []error{syscall.WSAEACCES, syscall.EPERM, syscall.EACCES}
	passingErrors = []error{syscall.WSAECONNRESET, syscall.Errno(10040), syscall.Errno(10052), syscall.Errno(10065), syscall.Errno(10051),
		syscall.ECONNRESET, syscall.EMSGSIZE, syscall.EHOSTUNREACH, syscall.ENETUNREACH}
)
