package tundev

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

// A driver that starts for the first time can take more than a minute.
const (
	upLimit    = 90 * time.Second
	upEvery    = 250 * time.Millisecond
	upLogEvery = 5 * time.Second

	leftoverPause = time.Second // until the adapter of an unclean stop is removed
)

func create(logf logger.Logf, name string, mtu int) (tun.Device, error) {
	if err := checkName("windows", name); err != nil {
		return nil, err
	}
	clk := clock{now: time.Now, sleep: time.Sleep}
	native, err := createAdapter(logf, name, mtu, clk)
	if err != nil {
		return nil, err
	}
	wait := waitUp{clock: clk, limit: upLimit, every: upEvery, logEvery: upLogEvery}
	if err := wait.do(logf, func() (bool, string, error) { return operational(native.LUID()) }); err != nil {
		native.Close()
		return nil, err
	}
	adoptMTU(logf, native, name, mtu)
	return newCloseGuard(native, nil, nil), nil
}

// createAdapter tries a second time if an adapter of that name is left from an
// unclean stop. Wintun removes such an adapter in the first attempt.
func createAdapter(logf logger.Logf, name string, mtu int, clk clock) (*tun.NativeTun, error) {
	dev, err := tun.CreateTUN(name, mtu)
	if errors.Is(err, windows.ERROR_ALREADY_EXISTS) || errors.Is(err, windows.ERROR_FILE_EXISTS) {
		logf("tundev: %s: %v: trying once more", name, err)
		clk.sleep(leftoverPause)
		dev, err = tun.CreateTUN(name, mtu)
	}
	if errors.Is(err, windows.ERROR_MOD_NOT_FOUND) || errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return nil, fmt.Errorf("wintun.dll, looked for beside the program and in System32: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("wintun: %w", err)
	}
	return dev.(*tun.NativeTun), nil
}

// operational reports whether the interface can carry packets.
func operational(luid uint64) (up bool, condition string, err error) {
	row := windows.MibIfRow2{InterfaceLuid: luid}
	if err := windows.GetIfEntry2Ex(windows.MibIfTableNormalWithoutStatistics, &row); err != nil {
		return false, "", fmt.Errorf("GetIfEntry2Ex: %w", err)
	}
	return row.OperStatus == windows.IfOperStatusUp, operStatus(row.OperStatus), nil
}

// adoptMTU sets the MTU of the interface. Wintun makes interfaces with an MTU of
// 65535 bytes, and wireguard-go's device changes only a number of its own: without
// adoptMTU the system would send packets that Read cuts to the reader's buffer.
// With an mtu of 0 the device takes over the MTU of the interface. Failure is a
// warning.
func adoptMTU(logf logger.Logf, native *tun.NativeTun, name string, mtu int) {
	for _, family := range []uint16{windows.AF_INET, windows.AF_INET6} {
		now, err := interfaceMTU(native.LUID(), family, mtu)
		if err != nil {
			logf("tundev: %s: MTU of %s not set to %d, going on: %v", name, familyName(family), mtu, err)
			continue
		}
		if mtu == 0 && family == windows.AF_INET {
			native.ForceMTU(now)
		}
	}
}

func familyName(family uint16) string {
	if family == windows.AF_INET6 {
		return "IPv6"
	}
	return "IPv4"
}

var setIPInterfaceEntry = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("SetIpInterfaceEntry")

// interfaceMTU sets the MTU of one address family, unless mtu is 0. It returns the
// MTU that the interface then has.
func interfaceMTU(luid uint64, family uint16, mtu int) (int, error) {
	row := windows.MibIpInterfaceRow{Family: family, InterfaceLuid: luid}
	if err := windows.GetIpInterfaceEntry(&row); err != nil {
		return 0, fmt.Errorf("GetIpInterfaceEntry: %w", err)
	}
	if mtu == 0 {
		return int(row.NlMtu), nil
	}
	row.NlMtu = uint32(mtu)
	row.SitePrefixLength = 0 // must be so for IPv4 (netioapi.h)
	if err := setIPInterfaceEntry.Find(); err != nil {
		return 0, err
	}
	if r, _, _ := setIPInterfaceEntry.Call(uintptr(unsafe.Pointer(&row))); r != 0 {
		return 0, fmt.Errorf("SetIpInterfaceEntry: %w", windows.Errno(r))
	}
	return mtu, nil
}

// operStatus names a value of IF_OPER_STATUS (ifdef.h).
func operStatus(s uint32) string {
	names := []string{"", "up", "down", "testing", "unknown", "dormant", "not present", "lower layer down"}
	if s == 0 || int(s) >= len(names) {
		return fmt.Sprintf("operational status %d", s)
	}
	return "operational status " + names[s]
}

// LUID returns the number by which the functions of iphlpapi.dll that set
// addresses and routes know the interface, or 0 after Close.
func (g *closeGuard) LUID() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n, ok := g.inner.(*tun.NativeTun); ok {
		return n.LUID()
	}
	return 0
}

// ForceMTU tells the device that the MTU of the interface is now mtu bytes, which
// Windows does not announce. It does not change the interface.
func (g *closeGuard) ForceMTU(mtu int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n, ok := g.inner.(*tun.NativeTun); ok && !g.closed() {
		n.ForceMTU(mtu)
	}
}
