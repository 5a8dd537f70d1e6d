//go:build !race

package tstun_test

const raceEnabled = false
