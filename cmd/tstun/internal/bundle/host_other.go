//go:build !linux

package bundle

// readRoutes leaves routes and rules out: nothing here reads them on this system.
func (h *Host) readRoutes() error { return nil }
