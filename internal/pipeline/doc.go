// Package pipeline decides what becomes of a packet: it has the stages, their
// order, and what they depend on. A verdict is a function of configuration,
// packet and time: nothing here waits, takes a lock, or asks a device or a
// clock, and the import table forbids what could.
//
// A Frame is the packet in hand. Outbound and Inbound take it through its stages,
// InjectedOut and InjectedIn what is injected; stages.go reads from top to bottom
// as a packet goes.
package pipeline
