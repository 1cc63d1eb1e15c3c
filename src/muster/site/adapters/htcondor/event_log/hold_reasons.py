"""What does a hold code say? The words of HTCondor's manual, and the keys that upstream makes of them (tms.md 6.5).

Letter for letter, the manual's own slips included ("Adminstrator", "terminated"): users of the service filter by these keys.

Source: HTCondor manual, "Job ClassAd Attributes", `HoldReasonCode`.
"""

from collections.abc import Mapping

from muster.site.adapters.htcondor.event_log.events import HELD, WORDS

_MESSAGES: Mapping[int, str] = {
    1: "The user put the job on hold with condor_hold",
    3: "The PERIODIC_HOLD expression evaluated to True. Or, ON_EXIT_HOLD was true",
    4: "The credentials for the job are invalid",
    5: "A job policy expression evaluated to Undefined",
    6: "The condor_starter failed to start the executable",
    7: "The standard output file for the job could not be opened",
    8: "The standard input file for the job could not be opened",
    9: "The standard output stream for the job could not be opened",
    10: "The standard input stream for the job could not be opened",
    11: "An internal HTCondor protocol error was encountered when transferring files",
    12: "An error occurred while transferring job output files or self-checkpoint files",
    13: "An error occurred while transferring job input files",
    14: "The initial working directory of the job cannot be accessed",
    15: "The user requested the job be submitted on hold",
    16: "Input files are being spooled",
    17: "A standard universe job is not compatible with the condor_shadow version available on the submitting machine",
    18: "An internal HTCondor protocol error was encountered when transferring files",
    19: "<Keyword>_HOOK_PREPARE_JOB was defined but could not be executed or returned failure",
    20: "The job missed its deferred execution time and therefore failed to run",
    21: "The job was put on hold because WANT_HOLD in the machine policy was true",
    22: "Unable to initialize job event log",
    23: "Failed to access user account",
    24: "No compatible shadow",
    25: "Invalid cron settings",
    26: "SYSTEM_PERIODIC_HOLD evaluated to true",
    27: "The system periodic job policy evaluated to undefined",
    32: "The maximum total input file transfer size was exceeded. (See MAX_TRANSFER_INPUT_MB)",
    33: "The maximum total output file transfer size was exceeded. (See MAX_TRANSFER_OUTPUT_MB)",
    34: "Memory usage exceeds a memory limit",
    35: "Specified Docker image was invalid",
    36: "Job failed when sent the checkpoint signal it requested",
    37: "User error in the EC2 universe",
    38: "Internal error in the EC2 universe",
    39: "Adminstrator error in the EC2 universe",
    40: "Connection problem in the EC2 universe",
    41: "Server error in the EC2 universe",
    42: "Instance potentially lost due to an error in the EC2 universe",
    43: "Pre script failed",
    44: "Post script failed",
    45: "Test of singularity runtime failed before launching a job",
    46: "The job’s allowed duration was exceeded",
    47: "The job’s allowed execution time was exceeded",
    48: "Prepare job shadow hook failed when it was executed; status code indicated job should be held",
}

_SUBREASONS: Mapping[int, Mapping[int, str]] = {
    37: {
        1: "Public key file not defined",
        2: "Private key file not defined",
        4: "Grid resource string missing EC2 service URL",
        9: "Failed to authenticate",
        10: "Can’t use existing SSH keypair with the given server’s type",
        20: "You, or somebody like you, cancelled this request",
    },
    38: {
        3: "Grid resource type not EC2",
        5: "Grid resource type not set",
        7: "Grid job ID is not for EC2",
        21: "Unexpected remote job status",
    },
    39: {6: "EC2_GAHP not defined"},
    40: {
        11: "while creating an SSH keypair",
        12: "while starting an on-demand instance",
        17: "while requesting a spot instance",
    },
    41: {
        13: "Abnormal instance termination reason",
        14: "Unrecognized instance termination reason",
        22: "Resource was down for too long",
    },
    42: {
        15: "Connection error while terminating an instance",
        16: "Failed to terminate instance too many times",
        17: "Connection error while terminating a spot request",
        18: "Failed to terminated a spot request too many times",
        19: "Spot instance request purged before instance ID acquired",
    },
}

_MEANINGS: Mapping[int, str] = {
    3: "User Specified",
    **dict.fromkeys((6, 7, 8, 9, 10, 14), "Errno"),
    **dict.fromkeys((12, 13), "Errno or plug-in error"),
}

_OURS: Mapping[tuple[int, int], str] = {
    (1, 78): "its agent was stopped",
    (1, 79): "its files are lost at the access point",
}
"""Holds by the agent itself: see `hold_policy`."""


def render_hold(code: int, subcode: int) -> str:
    """The reason in words: the message, and the subcode where it is not 0.

    A code that the manual does not know gives upstream's `(5, <code>, <subcode>)` without the prefix that others have;
    see `render_status`.
    """
    message = _MESSAGES.get(code)
    if message is None:
        return f"({HELD}, {code}, {subcode})"
    if not subcode:
        return message
    if (code, subcode) in _OURS:
        return f"{message}: {_OURS[code, subcode]}"
    if code in _SUBREASONS:
        return f"{message}: {_SUBREASONS[code].get(subcode, subcode)}"
    return f"{message}: {subcode} ({_MEANINGS.get(code, 'unknown')})"


def render_status(state: int, hold: tuple[int, int] | None = None) -> str:
    """The key of a status: the state's word; of a held proc `HELD: ` and the reason."""
    if state != HELD or hold is None:
        return WORDS[state]
    reason = render_hold(*hold)
    return f"{WORDS[HELD]}: {reason}" if hold[0] in _MESSAGES else reason
