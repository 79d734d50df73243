"""pyHanko's word on a PDF seal, set up so that it can be relied on.

The traps of the reference are closed here and nowhere else: revocation data is
required (T1), nothing is fetched (T10), the anchors are known certificates (T5), the
stricter diff policy is used (T15), and the answer is an AND of the AdES result,
the classic result and the diff (T3, T4). Our own path check has been made before, so
that pyHanko is only given certificates and lists of a path that holds (T9).
"""

# mypy: allow-untyped-calls
# (pyHanko is typed in part only.)
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.ades.report import AdESPassed
from pyhanko.sign.diff_analysis import DEFAULT_DIFF_POLICY, DiffResult, StandardDiffPolicy
from pyhanko.sign.diff_analysis.form_rules_api import FormUpdatingRule
from pyhanko.sign.diff_analysis.rules.form_field_rules import SigFieldCreationRule, SigFieldModificationRule
from pyhanko.sign.validation.ades import ades_basic_validation
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature, report_seed_value_validation
from pyhanko.sign.validation.policy_decl import (
    CertificateFetchingRule,
    LocalKnowledge,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.ltv.types import ValidationTimingInfo
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager
from pyhanko_certvalidator.revinfo.archival import CRLContainer

from pki.path import ValidatedPath
from signing.blocking import run_to_end

HUB_DIFF_POLICY = StandardDiffPolicy(
    global_rules=DEFAULT_DIFF_POLICY.global_rules,
    form_rule=FormUpdatingRule(field_rules=[SigFieldCreationRule(), SigFieldModificationRule()]),
)
"""The standard policy without filling in forms after sealing: it would let a field's looks be swapped."""


@dataclass(frozen=True, slots=True)
class LaterChanges:
    """What happened to the file after a seal.

    ``covers_file``: nothing at all. ``revisions``: so many updates. ``accepted``: nothing that the hub's policy
    refuses. ``certification_kept``: nothing that the seal itself forbids (DocMDP).
    """

    covers_file: bool
    revisions: int
    accepted: bool
    certification_kept: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """Does pyHanko find the seal good, and if not, in EN 319 102-1's words, why?"""

    passed: bool
    failed: bool
    """Certainly bad, not merely undecided."""
    sub_indication: str | None
    detail: str


class HankoSeal:
    """One signature field, as pyHanko sees it. Every method may raise anything (T12)."""

    def __init__(self, reader: PdfFileReader, field: generic.DictionaryObject, name: str) -> None:
        self._seal = EmbeddedPdfSignature(reader, field, name)

    def later_changes(self) -> LaterChanges:
        """Compare what the seal covers with the file as it is now."""
        self._seal.compute_integrity_info(diff_policy=HUB_DIFF_POLICY)
        found = self._seal.summarise_integrity_info()
        coverage, difference = found["coverage"], found["diff_result"]
        covers_file = coverage is SignatureCoverageLevel.ENTIRE_FILE
        accepted = isinstance(difference, DiffResult) and coverage in (
            SignatureCoverageLevel.ENTIRE_FILE,
            SignatureCoverageLevel.ENTIRE_REVISION,
        )
        detail = "" if isinstance(difference, DiffResult) else str(difference)
        later = self._seal.reader.xrefs.total_revisions - 1 - self._seal.signed_revision
        return LaterChanges(covers_file, later, accepted, found["docmdp_ok"] is True, detail[:300])

    def opinion(self, path: ValidatedPath) -> Opinion:
        """Judge signature and path once more, at the instant for which our own check found the path."""
        return run_to_end(self._opinion(path))

    async def _opinion(self, path: ValidatedPath) -> Opinion:
        anchor = _asn1(path.certificates[-1])
        spec = SignatureValidationSpec(
            cert_validation_policy=CertValidationPolicySpec(
                SimpleTrustManager.build(trust_roots=[anchor]),
                # Whether a list is recent enough was decided by pki.path, with rules of its own; asked
                # here again with other ones, the same list would be good to one and stale to the other.
                CertRevTrustPolicy(REQUIRE_REVINFO, retroactive_revinfo=True),
            ),
            revinfo_gathering_policy=RevocationInfoGatheringSpec(
                online_fetching_rule=RevinfoOnlineFetchingRule.LOCAL_ONLY,
                certificate_fetching_rule=CertificateFetchingRule.NEVER_FETCH,
            ),
            local_knowledge=LocalKnowledge(
                known_crls=[CRLContainer(_asn1_list(one.der)) for one in path.revocation],
                known_certs=[_asn1(one) for one in path.certificates],
            ),
            key_usage_settings=KeyUsageConstraints(
                # Key usage was judged with the purpose; a pinned certificate is asked for none.
                key_usage=None,
                extd_key_usage=None,
                explicit_extd_key_usage_required=False,
            ),
        )
        result = await ades_basic_validation(
            self._seal.signed_data,
            spec,
            timing_info=ValidationTimingInfo(
                validation_time=path.at, best_signature_time=path.at, point_in_time_validation=True
            ),
            raw_digest=self._seal.compute_digest(),
        )
        status = result.api_status
        words = getattr(result.ades_subindic, "name", None) or str(result.ades_subindic)
        passed = (
            result.ades_subindic is AdESPassed.OK
            and status is not None
            and bool(status.bottom_line)
            and self._keeps_seed_values(status.validation_path)
        )
        failed = status is None or not (status.intact and status.valid)
        return Opinion(passed, failed, None if passed else words, str(result.failure_msg or "")[:300])

    def _keeps_seed_values(self, path: ValidationPath | None) -> bool:
        """What the field asked of whoever would seal in it (ISO 32000-2, 12.7.5.5)."""
        if path is None:
            return False
        found = report_seed_value_validation(self._seal, path, timestamp_found=False)
        return found["seed_value_constraint_error"] is None


@lru_cache(maxsize=256)
def _asn1_of(der: bytes) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(der, strict=True)


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return _asn1_of(certificate.public_bytes(Encoding.DER))


@lru_cache(maxsize=64)
def _asn1_list(der: bytes) -> asn1_crl.CertificateList:
    """Kept, because reading a long list again for every seal would cost more than all the rest."""
    return asn1_crl.CertificateList.load(der, strict=True)
