//go:build !linux

package up

func withhold() error { return noCores() }
