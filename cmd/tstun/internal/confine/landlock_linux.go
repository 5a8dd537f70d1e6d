package confine

import (
	"os"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// The rights of files, linux/landlock.h. Ioctls on devices are not among them:
// the TUN is open.
const (
	toRead  = ll.AccessFSReadFile | ll.AccessFSReadDir
	toRun   = toRead | ll.AccessFSExecute
	toSet   = ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
	toClear = ll.AccessFSReadDir | ll.AccessFSRemoveFile
	toWrite = toSet | toClear | ll.AccessFSMakeReg
)

// The versions of landlock's ABI in which what we use came.
const (
	abiNet    = 4 // Linux 6.7
	abiScopes = 6 // Linux 6.12
	abiTSync  = 8
)

// erratumSignals is the bit of landlock's second erratum: before it was fixed,
// the threads of one process could not signal each other.
const erratumSignals = 1 << 1

// restrict lets landlock leave the process what it needs. What the kernel does
// not know is left out and told.
func restrict(n *needs) (Report, error) {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return Report{Missing: []string{"files and sockets, since this kernel has no landlock, or not in lsm= of its command line"}}, nil
	}
	r := Report{Landlock: abi}
	config := landlock.Config{HandledAccessFS: landlock.V5.HandledAccessFS, HandledAccessNet: ll.AccessNetBindTCP}
	if !n.dials {
		config.HandledAccessNet |= ll.AccessNetConnectTCP
	}
	config.Scoped, r.Missing = scopes(abi, n)
	if abi < abiNet {
		r.Missing = append(r.Missing, "TCP ports (needs landlock 4)")
	}
	return r, config.BestEffort().Restrict(n.rules()...)
}

// scopes returns what of other processes is out of reach: signals to them and
// their abstract sockets.
//
// Before abiTSync each thread has a domain of its own, and a program is in that
// of the thread that started it, so that another thread could not kill it.
func scopes(abi int, n *needs) (s landlock.ScopedSet, missing []string) {
	if abi < abiScopes {
		return 0, []string{"signals and abstract sockets (needs landlock 6)"}
	}
	if !strings.HasPrefix(os.Getenv("NOTIFY_SOCKET"), "@") {
		s |= ll.ScopeAbstractUnixSocket
	}
	errata, err := ll.LandlockGetErrata()
	if err == nil && errata&erratumSignals != 0 && (len(n.run) == 0 || abi >= abiTSync) {
		return s | ll.ScopeSignal, nil
	}
	return s, []string{"signals (needs landlock 8)"}
}

// rules returns what is allowed. What is not there is left out.
func (n *needs) rules() (rules []landlock.Rule) {
	add := func(rights landlock.AccessFSSet, paths []string) {
		for _, path := range paths {
			rights := rights
			info, err := os.Stat(path)
			if err != nil {
				continue
			}
			if !info.IsDir() {
				rights &= ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
			}
			rules = append(rules, landlock.PathAccess(rights, path).IgnoreIfMissing())
		}
	}
	add(toRead, n.read)
	add(toRun, n.run)
	add(toSet, n.set)
	add(toClear, n.clear)
	add(toWrite, n.write)
	if !n.dials {
		rules = append(rules, landlock.ConnectTCP(dnsPort))
	}
	return rules
}

// dnsPort is that of DNS (RFC 1035 §4.2), which is asked by TCP too.
const dnsPort = 53
