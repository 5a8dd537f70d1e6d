package tundev

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf16"
)

// ifNameSize is the space for an interface name with its terminating zero on
// Linux and the BSDs (linux/if.h IFNAMSIZ, net/if.h IFNAMSIZ).
const ifNameSize = 16

// winNameSize is the same for a Wintun adapter, in UTF-16 code units
// (wintun.h MAX_ADAPTER_NAME).
const winNameSize = 128

// nonBreakingSpace is white space to the kernel, whose names are Latin-1
// (lib/ctype.c).
const nonBreakingSpace = 0xa0

// nameError says why a name cannot be one of an interface. It counts as
// fs.ErrInvalid.
type nameError struct {
	reason string
}

func (e *nameError) Error() string { return "name: " + e.reason }

// Is makes errors.Is(err, fs.ErrInvalid) hold.
func (e *nameError) Is(target error) bool { return target == fs.ErrInvalid }

// checkName reports whether an interface on the system goos can be asked for
// by name, before the kernel answers with a bare "invalid argument".
func checkName(goos, name string) error {
	switch goos {
	case "linux", "android":
		return checkLinuxName(name)
	case "darwin", "ios":
		return checkNumbered("utun", name)
	case "openbsd":
		return checkNumbered("tun", name)
	case "freebsd":
		return checkBSDName(name)
	case "windows":
		return checkWindowsName(name)
	}
	return nil
}

// checkLinuxName follows dev_valid_name and __dev_alloc_name of net/core/dev.c.
// The empty name is fine: TUNSETIFF takes the first free "tun%d" for it.
func checkLinuxName(name string) error {
	switch {
	case len(name) >= ifNameSize:
		return &nameError{fmt.Sprintf("longer than %d bytes", ifNameSize-1)}
	case name == "." || name == "..":
		return &nameError{"must not be . or .."}
	case name == "all" || name == "default":
		// devinet_sysctl_register, net/ipv4/devinet.c
		return &nameError{"is what the kernel calls the settings of all interfaces"}
	case strings.ContainsAny(name, "/: \t\n\v\f\r\x00") || strings.IndexByte(name, nonBreakingSpace) >= 0:
		return &nameError{"must not contain a slash, a colon or white space"}
	}
	if _, rest, found := strings.Cut(name, "%"); found {
		if !strings.HasPrefix(rest, "d") || strings.Contains(rest, "%") {
			return &nameError{"the only pattern is one %d"}
		}
	}
	return nil
}

// checkNumbered accepts prefix alone, for any free unit, and prefix followed
// by a unit number without leading zeros.
func checkNumbered(prefix, name string) error {
	unit, found := strings.CutPrefix(name, prefix)
	if found && unit == "" {
		return nil
	}
	n, err := strconv.ParseUint(unit, 10, 31)
	if !found || err != nil || strconv.FormatUint(n, 10) != unit {
		return &nameError{fmt.Sprintf("must be %s, which picks a free one, or %s and a number, as in %s7", prefix, prefix, prefix)}
	}
	return nil
}

func checkBSDName(name string) error {
	switch {
	case len(name) >= ifNameSize:
		return &nameError{fmt.Sprintf("longer than %d bytes", ifNameSize-1)}
	case strings.ContainsAny(name, "/ \t\n\x00"):
		return &nameError{"must not contain a slash or white space"}
	}
	return nil
}

func checkWindowsName(name string) error {
	switch {
	case name == "":
		return &nameError{"must not be empty: Wintun has no default"}
	case len(utf16.Encode([]rune(name))) >= winNameSize:
		return &nameError{fmt.Sprintf("longer than %d UTF-16 units", winNameSize-1)}
	case strings.ContainsRune(name, 0):
		return &nameError{"must not contain a zero byte"}
	}
	return nil
}
