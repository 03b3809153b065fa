//go:build !race

package video_test

const raceDetector = false
