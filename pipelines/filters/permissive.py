"""SPDX ids of permissive licences: the default allow-list.

Source: Blue Oak Council's permissive licence list, version 15, grades Model to Bronze; an earlier version of it is what The Stack v1.1 was
selected by. Its last grade, Lead, is left out for the unclear terms of many entries, but for WTFPL, which The Stack v1.1 names. Added are
Creative Commons Attribution, which The Stack v1.1 has too, and newer ids of listed licences. No copyleft, however weak: no GPL, LGPL,
AGPL, MPL, EPL or CDDL, and no Creative Commons licence with ShareAlike, NonCommercial or NoDerivatives.
"""

from __future__ import annotations

from typing import Final

_BLUE_OAK_MODEL_GOLD: Final = """
    BlueOak-1.0.0
    BSD-2-Clause-Patent
"""

_BLUE_OAK_SILVER: Final = """
    ADSL APAFML Apache-2.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-FreeBSD BSD-2-Clause-NetBSD BSD-2-Clause-Views BSL-1.0 DSDP
    ECL-1.0 ECL-2.0 ISC ImageMagick Intel-ACPI Linux-OpenIB MIT MIT-Modern-Variant MIT-Wu MIT-testregex MS-PL MulanPSL-1.0 Mup
    PostgreSQL SHL-0.5 Spencer-99 UPL-1.0 Xerox Xfig hdparm
"""

_BLUE_OAK_BRONZE: Final = """
    0BSD AFL-1.1 AFL-1.2 AFL-2.0 AFL-2.1 AFL-3.0 AMDPLPA AML AMPAS ANTLR-PD ANTLR-PD-fallback Apache-1.0 Apache-1.1
    Artistic-2.0 BSD-3-Clause BSD-3-Clause-Attribution BSD-3-Clause-Clear BSD-3-Clause-HP BSD-3-Clause-LBNL
    BSD-3-Clause-Modification BSD-3-Clause-No-Nuclear-License-2014 BSD-3-Clause-No-Nuclear-Warranty BSD-3-Clause-Open-MPI
    BSD-3-Clause-Sun BSD-4-Clause BSD-4-Clause-Shortened BSD-4-Clause-UC BSD-Source-Code Bahyph Barr CC0-1.0 CFITSIO
    CNRI-Jython CNRI-Python CNRI-Python-GPL-Compatible Clips Cube Entessa FTL HPND-Fenneberg-Livingston HPND-sell-regexpr
    HTMLTIDY IBM-pibs ICU Info-ZIP Intel JasPer-2.0 LPPL-1.3c LZMA-SDK-9.22 Libpng MIT-0 MIT-CMU MIT-advertising MIT-enna
    MIT-feh MIT-open-group MITNFA MTLL MulanPSL-2.0 Multics NCSA NICTA-1.0 NIST-Software NTP Naumen Net-SNMP NetCDF
    OGL-Canada-2.0 OLDAP-2.0 OLDAP-2.0.1 OLDAP-2.1 OLDAP-2.2 OLDAP-2.2.1 OLDAP-2.2.2 OLDAP-2.3 OLDAP-2.4 OLDAP-2.5 OLDAP-2.6
    OLDAP-2.7 OLDAP-2.8 OML OpenSSL PHP-3.0 PHP-3.01 PSF-2.0 Plexus Python-2.0 Ruby SGI-B-2.0 SMLNJ SWL Saxpath SunPro
    Symlinks TCL TCP-wrappers UCAR Unicode-DFS-2015 Unicode-DFS-2016 UnixCrypt Unlicense VSL-1.0 W3C X11 XFree86-1.1 Xnet
    ZPL-2.0 ZPL-2.1 Zlib bcrypt-Solar-Designer bzip2-1.0.5 bzip2-1.0.6 curl eGenix fwlw libpng-2.0 libtiff xlock xpp
    zlib-acknowledgement
"""

_THE_STACK: Final = """
    CC-BY-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 WTFPL
"""

_NEWER_IDS: Final = """
    Python-2.0.1 Unicode-3.0
"""
"""Python-2.0.1 is CPython's licence with its wording corrected; Unicode-3.0 succeeds Unicode-DFS-2016."""

_ALL: Final = (_BLUE_OAK_MODEL_GOLD, _BLUE_OAK_SILVER, _BLUE_OAK_BRONZE, _THE_STACK, _NEWER_IDS)

PERMISSIVE: Final = tuple(sorted(name for names in _ALL for name in names.split()))
"""All of them, sorted."""
