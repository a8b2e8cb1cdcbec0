"""How people have proved who they are, as a session's `amr` says it (RFC 8176)."""

PASSWORD = "pwd"  # noqa: S105
OTP = "otp"
RECOVERY_CODE = "recovery"
MFA = "mfa"  # two factors were proved, here or by the identity provider
SINGLE_SIGN_ON = "oidc"
# What goes beyond a password.
SECOND_FACTORS = frozenset({MFA, OTP, "hwk", "swk", "fpt", "face", "iris", "sc"})
