package bind

import (
	"net"
	"strconv"
)

// zone is the interface that an address of link-local scope is on: its index for the
// kernel, its name in a netip.Addr. The last one is kept.
type zone struct {
	number uint32
	name   string
}

// nameOf returns the name of an interface, or its index if it is gone.
func (z *zone) nameOf(index uint32) string {
	if index != z.number {
		z.number, z.name = index, strconv.Itoa(int(index))
		if i, err := net.InterfaceByIndex(int(index)); err == nil {
			z.name = i.Name
		}
	}
	return z.name
}

// index returns the index of an interface, or 0 if there is none of that name.
func (z *zone) index(name string) uint32 {
	if name == "" {
		return 0
	}
	if name != z.name {
		z.name, z.number = name, 0
		if i, err := net.InterfaceByName(name); err == nil {
			z.number = uint32(i.Index)
		} else if n, err := strconv.ParseUint(name, 10, 32); err == nil {
			z.number = uint32(n)
		}
	}
	return z.number
}
