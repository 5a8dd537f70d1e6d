package packet

// Options of the IPv4 header that Decode looks into. RFC 791 §3.1.
const (
	optEnd         = 0
	optNop         = 1
	optLooseRoute  = 131 // LSRR
	optStrictRoute = 137 // SSRR

	optMin      = 2 // type and length
	routeMin    = 3 // and pointer
	routeMinPtr = 4 // the pointer counts from the option's type, which is 1
)

// optionsOK reports whether the options of an IPv4 header can be walked, and none is a
// source route with a hop still to visit. With one, the packet's final destination, which
// its checksums cover, is not the one in its header.
func optionsOK(options []byte) bool {
	for len(options) > 0 {
		switch options[0] {
		case optEnd:
			return true
		case optNop:
			options = options[1:]
			continue
		}
		if len(options) < optMin {
			return false
		}
		n := int(options[1])
		if n < optMin || n > len(options) || !routeOK(options[:n]) {
			return false
		}
		options = options[n:]
	}
	return true
}

// routeOK reports whether option is no source route, or one without a hop still to visit:
// its pointer is past its end.
func routeOK(option []byte) bool {
	if option[0] != optLooseRoute && option[0] != optStrictRoute {
		return true
	}
	return len(option) >= routeMin && option[2] >= routeMinPtr && int(option[2]) > len(option)
}
