//go:build unix && !freebsd

package tundev

func jailed() bool { return false }
