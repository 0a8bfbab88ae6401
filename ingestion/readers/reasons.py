"""Why a record is refused: the one list of quarantine reason codes, shared by readers and the accept rules."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A code says what is wrong; the quarantine row's ``detail`` says with which value."""

    NOT_A_RECORD = "not_a_record"
    """a broken line, a row with too many or too few cells, something that is no object"""
    BAD_NUMBER = "bad_number"
    """text or another type where a number must be"""
    MISSING_DEVICE = "missing_device"
    BAD_DEVICE = "bad_device"
    """a device id with control characters, or longer than 128"""
    MISSING_TIME = "missing_time"
    BAD_TIME = "bad_time"
    """not a time, or one that no calendar has"""
    TIME_WITHOUT_ZONE = "time_without_zone"
    """a local time of nobody knows where"""
    LOCAL_TIME_SKIPPED = "local_time_skipped"
    """a local time in the hour that clocks jump over in spring"""
    LOCAL_TIME_REPEATED = "local_time_repeated"
    """a local time in the hour that autumn repeats, without the neighbours that tell which pass"""
    CLOCK_BEFORE_2005 = "clock_before_2005"
    """a device clock that was reset (1970, 2000): phones with GPS did not send before"""
    CLOCK_AHEAD = "clock_ahead"
    """measured more than a day after it was received, or than now"""
    RECEIVED_AHEAD = "received_ahead"
    """received more than a day after now"""
    MISSING_POSITION = "missing_position"
    POSITION_NOT_FINITE = "position_not_finite"
    POSITION_OUT_OF_RANGE = "position_out_of_range"
    NULL_ISLAND = "null_island"
    """(0, 0) to the centimetre: what a phone without a fix sends"""
    MOCK_POSITION = "mock_position"
    """the phone says that an app made the position up"""
    MISSING_ACTIVITY = "missing_activity"
    UNKNOWN_ACTIVITY = "unknown_activity"
    """an activity that is none of ``parked.schemas.ACTIVITIES``, or a code nobody documented"""
    CONFIDENCE_OUT_OF_RANGE = "confidence_out_of_range"
    """a confidence outside 0-1"""
