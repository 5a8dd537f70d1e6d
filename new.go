package tstun

import (
	"fmt"
	"io/fs"
	"strings"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
	"tstun/tundev"
)

// New creates a TUN device of the operating system with an MTU of DefaultMTU
// and returns it with the name that it got. On Linux tunName may hold a
// pattern like "tun%d"; on macOS it is "utun", for a free one, or "utunN". It
// needs the right to do so: root or CAP_NET_ADMIN, or an administrator.
//
// "tap:NAME" makes an Ethernet TAP in its stead, on Linux, which is up, and whose
// device carries IP packets: it goes to Wrap, not to WrapTAP. "tap:NAME:BRIDGE" makes
// it a port of a bridge that is there, for guests on that bridge;
// tundev.CreateTAP says what these need.
//
// New works around the quirks of systems that it knows, waiting and trying
// again where that helps, and reports to logf what it does. On an error,
// which names device, step and cause, nothing is left behind; Diagnose tells
// more. Addresses and routes are the caller's to set.
func New(logf logger.Logf, tunName string) (tun.Device, string, error) {
	if logf == nil {
		logf = logger.Discard
	}
	if rest, ok := strings.CutPrefix(tunName, tapPrefix); ok {
		return newTAP(logf, tunName, rest)
	}
	dev, name, err := tundev.Create(logf, tunName, DefaultMTU)
	if err != nil {
		return nil, "", fmt.Errorf("tstun: %w", err)
	}
	return dev, name, nil
}

// tapPrefix begins the name of a TAP.
const tapPrefix = "tap:"

// newTAP makes a TAP of what follows tapPrefix in tunName.
func newTAP(logf logger.Logf, tunName, rest string) (tun.Device, string, error) {
	name, bridge, bridged := strings.Cut(rest, ":")
	wrong := ""
	switch {
	case name == "":
		wrong = "there is no name of the TAP"
	case bridged && bridge == "":
		wrong = "there is no name of the bridge"
	case strings.Contains(bridge, ":"):
		wrong = "there are more than two names"
	}
	if wrong != "" {
		return nil, "", fmt.Errorf("tstun: %q: %s: want tap:NAME or tap:NAME:BRIDGE: %w", tunName, wrong, fs.ErrInvalid)
	}
	dev, name, err := tundev.CreateTAP(logf, name, bridge, DefaultMTU)
	if err != nil {
		return nil, "", fmt.Errorf("tstun: %w", err)
	}
	return dev, name, nil
}

// NewFake returns a device without a host behind it: Read blocks until Close,
// Write discards. With it, injection and hooks are a program's whole network,
// which needs no rights.
func NewFake() tun.Device { return tundev.NewFake() }

// Diagnose logs what it can find out about why the creation of the device
// tunName failed with err: the likely cause, what to do about it, and what was
// seen, one line for each finding and at least one for every error. It changes
// nothing. With a nil error it logs what would stand in the way, and nothing if
// all is well. tundev.Diagnose returns the same as values.
func Diagnose(logf logger.Logf, tunName string, err error) {
	if logf == nil {
		return
	}
	for _, f := range tundev.Diagnose(tunName, err) {
		logf("tstun: %s: %s: %s; to do: %s (%s)", tunName, f.Code, f.Cause, f.Advice, f.Evidence)
	}
}
